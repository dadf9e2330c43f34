//! A value that must show nowhere, as the texts that would show it.

use std::fmt;

use super::SHORTEST;
use super::forms::{Form, forms, wrapped};
use super::parts::{self, Login, TELLING, lines, logins, longest_line};

/// A part of this length from the middle of a longer text stands for it when layers are searched.
const WINDOW: usize = 256;
/// Longer texts are masked in pieces, each of which is found alone.
const PIECE: usize = 512;
/// Of longer values the other forms are searched for and not masked.
const MASKED_FORMS: usize = 16 << 10;

/// A value that must show nowhere.
#[derive(Clone)]
pub struct Hidden {
    name: String,
    /// What an image must not hold.
    needles: Vec<(Form, Vec<u8>)>,
    /// What output must not show.
    masked: Vec<Vec<u8>>,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hidden").field(&self.name).finish()
    }
}

impl Hidden {
    /// The value of a secret. `name` is what messages call it.
    #[must_use]
    pub fn value(name: impl Into<String>, value: &[u8]) -> Self {
        let mut hidden = Self::empty(name);
        hidden.search_for(longest_line(value));
        hidden.mask(longest_line(value));
        for login in logins(value) {
            hidden.add(&login);
        }
        for lines in wrapped(value.trim_ascii()) {
            // The first lines of keys of one kind are the same, so it is the middle that tells.
            hidden.needles.push((Form::Base64, lines[(lines.len() - 1) / 2].clone()));
            if value.len() <= MASKED_FORMS {
                hidden.masked.extend(lines);
            }
        }
        for text in lines(value).chain(parts::words(value)) {
            hidden.mask_plain(text);
        }
        hidden.without_what_is_short()
    }

    /// A login of this machine that build commands have.
    #[must_use]
    pub fn login(name: impl Into<String>, user: Option<&str>, secret: &str) -> Self {
        let mut hidden = Self::empty(name);
        hidden.add(&Login { user: user.map(str::to_owned), secret: secret.to_owned() });
        hidden.without_what_is_short()
    }

    /// The logins in a text such as an address, which may show itself.
    #[must_use]
    pub fn logins_in(name: impl Into<String>, text: &str) -> Self {
        let mut hidden = Self::empty(name);
        for login in logins(text.as_bytes()) {
            hidden.add(&login);
        }
        hidden.without_what_is_short()
    }

    /// The same for what build commands do not have: it is masked, and images are not searched for it.
    #[must_use]
    pub fn masked_only(self) -> Self {
        Self { needles: Vec::new(), ..self }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn empty(name: impl Into<String>) -> Self {
        Self { name: name.into(), needles: Vec::new(), masked: Vec::new() }
    }

    pub(super) fn needles(&self) -> &[(Form, Vec<u8>)] {
        &self.needles
    }

    pub(super) fn masked(&self) -> &[Vec<u8>] {
        &self.masked
    }

    /// A short password may be a word that stands in any file. Together with its user it is not.
    fn add(&mut self, login: &Login) {
        self.mask(login.secret.as_bytes());
        let pair = login.user.as_ref().map(|user| format!("{user}:{}", login.secret));
        if let Some(pair) = &pair {
            self.mask(pair.as_bytes());
        }
        match pair {
            Some(pair) if login.secret.len() < TELLING => self.search_for(pair.as_bytes()),
            None if login.secret.len() < TELLING => {}
            _ => self.search_for(login.secret.as_bytes()),
        }
    }

    fn search_for(&mut self, text: &[u8]) {
        if text.len() >= SHORTEST {
            self.needles.extend(forms(middle(text)));
        }
    }

    fn mask(&mut self, text: &[u8]) {
        if text.len() <= MASKED_FORMS {
            for (_, written) in forms(text) {
                self.mask_plain(&written);
            }
        }
    }

    /// Output is text, in which what is no text has become replacement characters.
    fn mask_plain(&mut self, text: &[u8]) {
        self.masked.extend(pieces(String::from_utf8_lossy(text).as_bytes()).map(<[u8]>::to_vec));
    }

    fn without_what_is_short(mut self) -> Self {
        self.needles.retain(|(_, text)| text.len() >= SHORTEST);
        self.masked.retain(|text| text.len() >= SHORTEST);
        self
    }
}

/// The middle of a text, in whole characters where it has such.
fn middle(text: &[u8]) -> &[u8] {
    let start = text.len().saturating_sub(WINDOW) / 2;
    let end = text.len().min(start + WINDOW);
    match std::str::from_utf8(text) {
        Ok(whole) => &text[whole.ceil_char_boundary(start)..whole.floor_char_boundary(end)],
        Err(_) => &text[start..end],
    }
}

/// A text in pieces that cover it; the last one overlaps the one before, so that it is not short.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = text.len().saturating_sub(PIECE);
    (0..text.len()).step_by(PIECE).map(move |start| &text[start.min(last)..text.len().min(start + PIECE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searches_for(hidden: &Hidden, text: &str) -> bool {
        hidden.needles().iter().any(|(_, needle)| needle == text.as_bytes())
    }

    fn masks(hidden: &Hidden, text: &str) -> bool {
        hidden.masked().iter().any(|masked| masked == text.as_bytes())
    }

    #[test]
    fn a_value_is_searched_for_without_the_white_space_around_it() {
        let hidden = Hidden::value("TOKEN", b" s3cr3t-t0ken\n");
        assert!(searches_for(&hidden, "s3cr3t-t0ken") && masks(&hidden, "s3cr3t-t0ken"));
        assert!(searches_for(&hidden, "czNjcjN0LXQwa2Vu") && masks(&hidden, "czNjcjN0LXQwa2Vu"));
        assert_eq!(format!("{hidden:?}"), "Hidden(\"TOKEN\")");
    }

    #[test]
    fn all_lines_are_masked_and_the_longest_is_searched_for() {
        let hidden = Hidden::value("KEY", b"first line\nthe second line\ntiny\n");
        assert!(masks(&hidden, "first line") && masks(&hidden, "the second line") && !masks(&hidden, "tiny"));
        assert!(!searches_for(&hidden, "first line") && searches_for(&hidden, "the second line"));
    }

    #[test]
    fn a_short_password_is_searched_for_with_its_user_alone() {
        let hidden = Hidden::login("the login", Some("me"), "password");
        assert!(searches_for(&hidden, "me:password") && !searches_for(&hidden, "password"));
        assert!(masks(&hidden, "password") && masks(&hidden, "me:password"));
        let hidden = Hidden::login("the login", Some("me"), "a-long-password-1");
        assert!(searches_for(&hidden, "a-long-password-1"));
        assert!(Hidden::login("the login", None, "token").needles().is_empty());
        let hidden = Hidden::login("the proxy", Some("me"), "a-long-password-1").masked_only();
        assert!(hidden.needles().is_empty() && masks(&hidden, "a-long-password-1"));
        let hidden = Hidden::logins_in("the proxy", "http://me:hunter22@proxy.example:3128/");
        assert!(masks(&hidden, "hunter22") && searches_for(&hidden, "me:hunter22"));
        assert!(Hidden::logins_in("the proxy", "http://proxy.example:3128/").masked().is_empty());
    }

    #[test]
    fn a_long_value_takes_little_to_search_for_and_is_masked_whole() {
        let value: Vec<u8> =
            (0..100_000_u32).flat_map(u32::to_le_bytes).map(|byte| b'a' + byte % 26).collect();
        let hidden = Hidden::value("LONG", &value);
        assert!(hidden.needles().iter().all(|(_, needle)| needle.len() <= 3 * WINDOW));
        assert_eq!(hidden.needles()[0].1, value[(value.len() - WINDOW) / 2..][..WINDOW]);
        assert_eq!(middle("é".repeat(301).as_bytes()).len(), WINDOW - 2);
        let covered: usize = hidden.masked().iter().map(Vec::len).sum();
        assert!(covered >= value.len() && hidden.masked().iter().all(|piece| piece.len() <= PIECE));
    }

    #[test]
    fn the_pieces_of_a_text_cover_it() {
        let text: Vec<u8> = (0..PIECE + 10).map(|place| u8::try_from(place % 251).unwrap()).collect();
        let pieces: Vec<&[u8]> = pieces(&text).collect();
        assert_eq!(pieces, [&text[..PIECE], &text[10..]]);
        assert_eq!(super::pieces(b"short").collect::<Vec<_>>(), [b"short"]);
        assert_eq!(super::pieces(b"").count(), 0);
    }
}
