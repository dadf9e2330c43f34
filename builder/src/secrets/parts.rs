//! What of a value gives it away alone: its lines, and the logins in it.
//!
//! A file of credentials is seldom copied whole. What leaks is the token of an `.npmrc`, the password in an address, the
//! key of a service account.

use serde_json::Value;

use super::SHORTEST;
use super::forms::unpercent;

/// Keys whose values are logins, in the files of package managers and clouds.
const LOGIN_KEYS: [&str; 15] = [
    "_authToken",
    "_auth",
    "_password",
    "npmAuthToken",
    "npmAuthIdent",
    "password",
    "passwd",
    "private_key",
    "client_secret",
    "auth",
    "identitytoken",
    "access_token",
    "refresh_token",
    "aws_secret_access_key",
    "aws_session_token",
];

/// From this length on a part of a value is hardly ever an ordinary word.
pub(super) const TELLING: usize = 16;

/// A login inside a value.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Login {
    /// The user, where one is named.
    pub(super) user: Option<String>,
    /// The password, token or key. Of a key in several lines it is the longest one.
    pub(super) secret: String,
}

/// The lines of a value that are long enough to be told from ordinary text.
pub(super) fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter(|line| line.len() >= SHORTEST)
}

/// The line that stands for a value: its longest, or all of it where every line is short.
pub(super) fn longest_line(value: &[u8]) -> &[u8] {
    let longest = lines(value).filter(|line| !line.starts_with(b"-----")).max_by_key(|line| line.len());
    longest.unwrap_or_else(|| value.trim_ascii())
}

/// Long words of letters and digits, as tokens are.
pub(super) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    value.split(move |byte| !is_letter(byte)).filter(|word| {
        let mixed = word.iter().any(u8::is_ascii_digit) && word.iter().any(u8::is_ascii_alphabetic);
        mixed && word.len() >= TELLING
    })
}

/// The logins in a value.
pub(super) fn logins(value: &[u8]) -> Vec<Login> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    let mut found: Vec<Login> =
        text.match_indices("://").filter_map(|(at, _)| in_address(&text[at + 3..])).collect();
    match serde_json::from_str::<Value>(text) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => in_document(&document, &mut found),
        _ => found.extend(text.lines().flat_map(in_line)),
    }
    found.sort();
    found.dedup();
    found
}

/// The login in an address that begins after its `://`, decoded.
fn in_address(rest: &str) -> Option<Login> {
    let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c)).unwrap_or(rest.len());
    let (login, _) = rest[..end].rsplit_once('@')?;
    let decoded = |text: &str| String::from_utf8_lossy(&unpercent(text.as_bytes())).into_owned();
    match login.split_once(':') {
        Some((user, secret)) => Some(Login { user: Some(decoded(user)), secret: decoded(secret) }),
        // A user without a password is a token only when it is as long as one.
        None => (login.len() >= TELLING).then(|| Login { user: None, secret: decoded(login) }),
    }
}

fn in_document(value: &Value, found: &mut Vec<Login>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if LOGIN_KEYS.contains(&key.as_str()) => {
                        let line = longest_line(text.as_bytes());
                        let secret = String::from_utf8_lossy(line).into_owned();
                        found.push(Login { user: None, secret });
                    }
                    other => in_document(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| in_document(item, found)),
        _ => {}
    }
}

/// What follows a login's key in a line such as `//host/:_authToken=X`, `npmAuthToken: "X"` or `password X`.
fn in_line(line: &str) -> Vec<Login> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let after_key = |key: &&str| {
        let (before, rest) = line.split_once(key)?;
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || "=:\"'".contains(c));
        if before.ends_with(is_word) || value.len() == rest.len() {
            return None;
        }
        let end = value.find(|c: char| c.is_whitespace() || "\"',;".contains(c)).unwrap_or(value.len());
        Some(Login { user: None, secret: value[..end].to_owned() })
    };
    LOGIN_KEYS.iter().filter_map(after_key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets_of(value: &str) -> Vec<String> {
        logins(value.as_bytes()).into_iter().map(|login| login.secret).collect()
    }

    #[test]
    fn the_longest_line_stands_for_a_value_and_the_armour_of_a_key_does_not() {
        assert_eq!(longest_line(b"s3cr3t-t0ken\n"), b"s3cr3t-t0ken");
        assert_eq!(longest_line(b"a\nb\nc\nd\ne\n"), b"a\nb\nc\nd\ne");
        let key = b"-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADAN\r\nshort\r\n-----END PRIVATE KEY-----\r\n";
        assert_eq!(longest_line(key), b"MIIEvQIBADAN");
        assert_eq!(lines(key).count(), 3);
    }

    #[test]
    fn an_address_has_a_login() {
        let login =
            |user: Option<&str>, secret: &str| Login { user: user.map(Into::into), secret: secret.into() };
        let found = logins(b"index-url = https://me:p%40ss@index.example/simple/\n");
        assert_eq!(found, [login(Some("me"), "p@ss")]);
        assert_eq!(logins(b"https://ghp_0123456789ab@h/x"), [login(None, "ghp_0123456789ab")]);
        assert_eq!(logins(b"https://git-user@h/x and https://h/a@b and mailto:a@b"), []);
    }

    #[test]
    fn the_logins_of_package_managers_files_are_found() {
        let npmrc =
            "registry=https://npm.example/\n//npm.example/:_authToken=npm_abcdefgh\nalways-auth=true\n";
        assert_eq!(secrets_of(npmrc), ["npm_abcdefgh"]);
        assert_eq!(secrets_of("npmAuthToken: \"yarn-token-1\"\nnpmScopes: {}\n"), ["yarn-token-1"]);
        let netrc = "machine index.example login me password hunter-22\nmachine other.example password b\n";
        assert_eq!(secrets_of(netrc), ["b", "hunter-22"]);
        let docker = r#"{"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}}, "credsStore": "desktop"}"#;
        assert_eq!(secrets_of(docker), ["bWU6c2VjcmV0"]);
    }

    #[test]
    fn the_key_in_a_service_account_is_found_by_its_longest_line() {
        let account = r#"{"type": "service_account", "token_uri": "https://oauth2.example/token",
            "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIB\n-----END PRIVATE KEY-----\n"}"#;
        assert_eq!(secrets_of(account), ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"]);
    }

    #[test]
    fn words_are_long_and_mixed() {
        let text = b"key: AKIAIOSFODNN7EXAMPLE and a_word_of_letters_alone 01234567890123456789 short1";
        assert_eq!(words(text).collect::<Vec<_>>(), [b"AKIAIOSFODNN7EXAMPLE"]);
    }
}
