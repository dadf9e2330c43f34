//! How a text is written where it is not written as it is: base64, percent, JSON and hexadecimal notation.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A way of writing a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// In base64, the URL-safe alphabet included.
    Base64,
    /// With `%XX`, as in addresses and forms.
    Percent,
    /// Inside a JSON string.
    Json,
    /// In hexadecimal digits.
    Hex,
}

impl Form {
    /// What is said of a file after the name of the secret that it holds.
    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Base64 => " in base64",
            Self::Percent => " percent-encoded",
            Self::Json => " as a JSON string",
            Self::Hex => " in hexadecimal",
        }
    }
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// The widths to which base64 is broken: that of most programs, and that of PEM.
const WIDTHS: [usize; 2] = [76, 64];

/// Every way of writing a text, each once.
pub(super) fn forms(text: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let hex = [LOWER, UPPER].map(|digits| hex(text, digits)).to_vec();
    let notations = [
        (Form::Plain, vec![text.to_vec()]),
        (Form::Json, json(text)),
        (Form::Percent, percent(text)),
        (Form::Base64, base64(text)),
        (Form::Hex, hex),
    ];
    let mut forms: Vec<(Form, Vec<u8>)> = Vec::new();
    for (form, texts) in notations {
        for written in texts {
            if !forms.iter().any(|(_, known)| *known == written) {
                forms.push((form, written));
            }
        }
    }
    forms
}

/// A whole value in base64, as lines: what `base64 FILE` writes.
pub(super) fn wrapped(value: &[u8]) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let whole = STANDARD_NO_PAD.encode(value).into_bytes();
    WIDTHS
        .into_iter()
        .filter(move |&width| whole_is_longer(value, width))
        .map(move |width| whole.chunks(width).map(<[u8]>::to_vec).collect())
}

fn whole_is_longer(value: &[u8], width: usize) -> bool {
    value.len() * 4 / 3 > width
}

/// The characters that a text has in base64 whatever stands before and after it: one run for each place in a group of
/// three bytes.
fn base64(text: &[u8]) -> Vec<Vec<u8>> {
    let mut runs = Vec::new();
    for before in 0..3 {
        let padded = [&vec![0; before][..], text].concat();
        let standard = STANDARD_NO_PAD.encode(&padded);
        let url_safe = URL_SAFE_NO_PAD.encode(&padded);
        // A byte that stands before it, or after it, has a part in the characters at the ends.
        let first = [0, 2, 3][before];
        let last = standard.len() - usize::from(padded.len() % 3 != 0);
        runs.extend([standard, url_safe].map(|encoded| encoded.as_bytes()[first..last].to_vec()));
    }
    runs
}

/// Percent notation differs in what is left as it is, and in the case of its digits.
fn percent(text: &[u8]) -> Vec<Vec<u8>> {
    let strict = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    // `encodeURIComponent`, and the part of an address before its `@`.
    let component = |byte: u8| strict(byte) || b"!*'()".contains(&byte);
    let login = |byte: u8| component(byte) || b"$&+,%".contains(&byte);
    let path = |byte: u8| login(byte) || b"/:;=@".contains(&byte);
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.* ".contains(&byte);
    let mut written = Vec::new();
    for digits in [UPPER, LOWER] {
        written.extend([
            escape(text, digits, &strict),
            escape(text, digits, &component),
            escape(text, digits, &login),
            escape(text, digits, &path),
        ]);
        let mut form = escape(text, digits, &form);
        form.iter_mut().filter(|byte| **byte == b' ').for_each(|byte| *byte = b'+');
        written.push(form);
    }
    written
}

fn escape(text: &[u8], digits: &[u8; 16], keep: &dyn Fn(u8) -> bool) -> Vec<u8> {
    let mut written = Vec::with_capacity(3 * text.len());
    for &byte in text {
        if keep(byte) {
            written.push(byte);
        } else {
            written.push(b'%');
            written.extend(pair(byte, digits));
        }
    }
    written
}

fn hex(text: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    text.iter().flat_map(|&byte| pair(byte, digits)).collect()
}

fn pair(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// A text with its percent notation undone.
pub(super) fn unpercent(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digits = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = digits.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        plain.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    plain
}

/// JSON differs in whether letters outside of ASCII and slashes are escaped.
fn json(text: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(text) else { return Vec::new() };
    let quoted = serde_json::Value::from(text).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    let ascii: String = inner.chars().map(ascii_escape).collect();
    [inner, &ascii]
        .into_iter()
        .flat_map(|written| [written.to_owned(), written.replace('/', "\\/")])
        .map(String::into_bytes)
        .collect()
}

fn ascii_escape(c: char) -> String {
    use std::fmt::Write as _;
    if c.is_ascii() {
        return c.to_string();
    }
    let mut escaped = String::new();
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(escaped, "\\u{unit:04x}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    /// The forms of `secret` that are in `text`.
    fn found(secret: &str, text: &str) -> Vec<Form> {
        let has = |(form, written): (Form, Vec<u8>)| {
            text.as_bytes().windows(written.len()).any(|window| window == written).then_some(form)
        };
        forms(secret.as_bytes()).into_iter().filter_map(has).collect()
    }

    #[test]
    fn base64_is_found_wherever_the_value_begins() {
        for before in ["", "u", "me", "me:", "user:", "x-access:"] {
            for after in ["", "!", "!!", "\n"] {
                let text = format!("{before}p@ss?w0rd>{after}");
                assert!(found("p@ss?w0rd>", &STANDARD.encode(&text)).contains(&Form::Base64), "{text}");
                assert!(
                    found("p@ss?w0rd>", &URL_SAFE_NO_PAD.encode(&text)).contains(&Form::Base64),
                    "{text}"
                );
            }
        }
        assert_eq!(found("p@ss?w0rd>", &STANDARD.encode("me:p@ss?w0rx>")), []);
    }

    #[test]
    fn percent_notation_is_found_in_every_style() {
        for text in ["p%40ss%2Fw%20rd", "p%40ss%2fw%20rd", "p%40ss%2Fw+rd", "p@ss/w%20rd"] {
            assert_eq!(found("p@ss/w rd", text), [Form::Percent], "{text}");
        }
        assert_eq!(found("p@ss!(w)rd", "p%40ss!(w)rd"), [Form::Percent]);
        assert_eq!(unpercent(b"p%40ss%2fw%zz%4"), b"p@ss/w%zz%4");
    }

    #[test]
    fn json_strings_are_found_in_every_style() {
        for text in [r#""line\n\"two\"/é""#, r#""line\n\"two\"\/é""#, r#""line\n\"two\"/\u00e9""#] {
            assert_eq!(found("line\n\"two\"/é", text), [Form::Json], "{text}");
        }
        assert_eq!(found("a-🚢-token", r#""a-\ud83d\udea2-token""#), [Form::Json]);
    }

    #[test]
    fn hexadecimal_digits_are_found_in_both_cases() {
        assert_eq!(found("hunter-Z", "x68756e7465722d5ax"), [Form::Hex]);
        assert_eq!(found("hunter-Z", "68756E7465722D5A"), [Form::Hex]);
    }

    #[test]
    fn a_plain_word_has_one_plain_form_and_no_form_twice() {
        let all = forms(b"hunter22");
        assert_eq!(all.iter().filter(|(form, _)| *form == Form::Plain).count(), 1);
        assert!(!all.iter().any(|(form, _)| matches!(form, Form::Json | Form::Percent)));
        let mut texts: Vec<_> = all.iter().map(|(_, text)| text.clone()).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all.len());
    }

    #[test]
    fn a_long_value_is_wrapped_as_programs_wrap_it() {
        let value = [b'x'; 100];
        let lines: Vec<Vec<Vec<u8>>> = wrapped(&value).collect();
        assert_eq!(lines.iter().map(|lines| lines[0].len()).collect::<Vec<_>>(), [76, 64]);
        assert_eq!(wrapped(b"short").count(), 0);
    }
}
