//! Reads `WWW-Authenticate` (RFC 9110, section 11.6.1), strictly.

use std::collections::BTreeMap;

/// A way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password in each request.
    Basic,
    /// A token from `realm`.
    Bearer(Bearer),
}

/// Where a token is to be had, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// The best offer of all header values: a token if a whole offer of one is there, else basic, else nothing.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut best = None;
    for header in headers {
        for (scheme, parameters) in parse(header) {
            if scheme.eq_ignore_ascii_case("bearer") {
                if let Some(bearer) = bearer(parameters) {
                    return Some(Challenge::Bearer(bearer));
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                best = Some(Challenge::Basic);
            }
        }
    }
    best
}

fn bearer(mut parameters: BTreeMap<String, String>) -> Option<Bearer> {
    Some(Bearer {
        realm: parameters.remove("realm")?,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// Splits a header value into schemes with parameters. Everything after the first fault is dropped, so that a
/// half-read offer is never followed.
fn parse(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut rest = Scanner(header);
    let mut offers = Vec::new();
    while let Some(scheme) = rest.scheme() {
        match rest.parameters() {
            Some(parameters) => offers.push((scheme, parameters)),
            None => break,
        }
    }
    offers
}

struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn skip(&mut self, set: &[char]) {
        self.0 = self.0.trim_start_matches(set);
    }

    fn token(&mut self) -> Option<String> {
        let end = self.0.find(|c: char| !is_token_char(c)).unwrap_or(self.0.len());
        if end == 0 {
            return None;
        }
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(token.to_owned())
    }

    fn scheme(&mut self) -> Option<String> {
        self.skip(&[' ', '\t', ',']);
        let scheme = self.token()?;
        (self.0.is_empty() || self.0.starts_with([' ', ','])).then_some(scheme)
    }

    /// Reads `name=value` pairs up to the next scheme or the end; `None` if they are broken.
    fn parameters(&mut self) -> Option<BTreeMap<String, String>> {
        let mut parameters = BTreeMap::new();
        loop {
            self.skip(&[' ', '\t', ',']);
            let before = self.0;
            let Some(name) = self.token() else {
                return self.0.is_empty().then_some(parameters);
            };
            self.skip(&[' ', '\t']);
            if !self.0.starts_with('=') {
                self.0 = before;
                return Some(parameters);
            }
            self.0 = &self.0[1..];
            self.skip(&[' ', '\t']);
            let value = if self.0.starts_with('"') { self.quoted()? } else { self.token()? };
            if parameters.insert(name.to_ascii_lowercase(), value).is_some() {
                return None;
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut chars = self.0.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(chars.next().map(|(_, c)| c).filter(|c| !c.is_control())?),
                c if c.is_control() => return None,
                c => value.push(c),
            }
        }
        None
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_one(header: &str) -> Option<Challenge> {
        choose(std::iter::once(header))
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        })
    }

    #[test]
    fn reg_s05_a_bearer_offer_is_read_whatever_its_spelling() {
        let expected = Some(bearer("https://a/t", Some("r"), Some("repository:x:pull,push")));
        for header in [
            r#"Bearer realm="https://a/t",service="r",scope="repository:x:pull,push""#,
            r#"bearer  realm="https://a/t" , service=r,scope="repository:x:pull,push""#,
            r#"BEARER Scope="repository:x:pull,push", REALM = "https://a/t", service="\r""#,
            r#"Basic realm="x", Bearer realm="https://a/t",service="r",scope="repository:x:pull,push""#,
        ] {
            assert_eq!(choose_one(header), expected, "{header}");
        }
    }

    #[test]
    fn reg_s05_broken_offers_are_not_followed() {
        for header in [
            "",
            ",",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            r#"Bearer realm="https://a/t"#,
            r#"Bearer service="r""#,
            r#"Bearer realm="a",realm="b""#,
            "Bearer realm=\"a\nb\"",
            "Bearer realm=\"a\\\tb\"",
            "Negotiate abc==",
            "\"Bearer\" realm=\"a\"",
            "Bearer=\"a\"",
        ] {
            assert_eq!(choose_one(header), None, "{header}");
        }
    }

    #[test]
    fn reg_s05_basic_is_taken_only_where_no_token_is_offered() {
        assert_eq!(choose_one(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(choose_one("Basic"), Some(Challenge::Basic));
        let headers = [r#"Basic realm="x""#, r#"Bearer realm="https://a/t""#];
        assert_eq!(choose(headers.into_iter()), Some(bearer("https://a/t", None, None)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_in_a_header_makes_the_reader_fail(
            header in "(Bearer|Basic|Digest|,|=|\\\\|\"| |realm|scope|service|https://a/t|\\PC){0,30}",
        ) {
            if let Some(Challenge::Bearer(bearer)) = choose_one(&header) {
                assert!(!bearer.realm.contains(char::is_control));
            }
        }
    }
}
