//! Values that look like credentials in plain text. A false alarm teaches people to read past the true ones, so both
//! the name and the value have to speak for it, or the value alone without any doubt.

/// How the names of variables end that hold credentials.
const NAMES: [&str; 15] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "_PASS",
    "_PWD",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "SECRET_KEY",
    "PRIVATE_KEY",
    "ENCRYPTION_KEY",
    "SIGNING_KEY",
    "SECRET_KEY_BASE",
];

/// How credentials begin that services give out.
const PREFIXES: [&str; 16] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "sk_live_",
    "rk_live_",
    "sk-ant-",
    "pypi-AgEI",
    "SG.",
    "AIza",
];

/// Words that switch something and keep no secret.
const SWITCHES: [&str; 15] = [
    "true", "false", "yes", "no", "on", "off", "none", "null", "enabled", "disabled", "required", "optional",
    "always", "never", "default",
];

/// Tells whether the value of a variable looks like a credential in plain text.
pub(super) fn looks_like_credential(name: &str, value: &str) -> bool {
    let by_name = is_name(name) && !is_setting(value);
    by_name || has_password(value) || is_key(value)
}

fn is_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let is_public = name.contains("PUBLIC") || name.contains("PUBLISHABLE");
    !is_public && NAMES.iter().any(|end| name.ends_with(end))
}

/// A number, a path, an address, a switch, a placeholder, or a reference to what is kept elsewhere.
fn is_setting(value: &str) -> bool {
    let value = value.trim();
    let is_mask = value.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '-'));
    let is_path =
        value.contains('/') && value.chars().all(|c| c.is_ascii_lowercase() || "0123456789-_./".contains(c));
    value.len() < 6
        || value.parse::<f64>().is_ok()
        || value.starts_with(['/', '.', '$', '{', '<', '%'])
        || value.starts_with("arn:")
        || value.contains("://")
        || SWITCHES.contains(&value.to_ascii_lowercase().as_str())
        || is_mask
        || is_path
}

/// Tells whether a value is an address with a password in it, which is not a placeholder.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password =
        authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, word)| word);
    password.is_some_and(|word| {
        let is_mask = word.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.'));
        !is_mask && !word.starts_with(['$', '{', '<', '%'])
    })
}

fn is_key(value: &str) -> bool {
    value.contains("PRIVATE KEY-----")
        || is_access_key(value)
        || is_given_out(value)
        || is_signed_token(value)
}

fn is_access_key(value: &str) -> bool {
    let id = value.strip_prefix("AKIA").or_else(|| value.strip_prefix("ASIA"));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
}

fn is_given_out(value: &str) -> bool {
    let is_of_token = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    value.len() >= 20
        && value.bytes().all(is_of_token)
        && PREFIXES.iter().any(|prefix| value.starts_with(prefix))
}

/// A JSON web token: three parts of base64, the first of which begins as an object does.
fn is_signed_token(value: &str) -> bool {
    let is_part =
        |part: &str| part.len() >= 8 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let parts: Vec<&str> = value.split('.').collect();
    parts.len() == 3 && value.starts_with("eyJ") && parts.into_iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    // quirk 26
    #[test]
    fn credentials_are_recognised_by_name_or_by_form() {
        for (name, value) in [
            ("DB_PASSWORD", "hunter22"),
            ("password", "correct horse"),
            ("dbPassword", "hunter22"),
            ("API_KEY", "abcdef0123"),
            ("MYSQL_PWD", "hunter22"),
            ("SMTP_PASS", "hunter22"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            ("DJANGO_SECRET_KEY", "django-insecure-8#x"),
            ("SECRET_KEY_BASE", "0f3c9a"),
            ("client-secret", "Zm9vYmFy"),
            ("NPM_TOKEN", "npm_abcdefghij"),
            ("DATABASE_URL", "postgres://app:hunter22@db/x"),
            ("REDIS_URL", "redis://:hunter22@cache:6379"),
            ("KEY", "AKIAABCDEFGHIJKLMNOP"),
            ("X", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
            ("X", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
            ("X", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl"),
        ] {
            assert!(looks_like_credential(name, value), "{name}={value}");
        }
    }

    // quirk 26
    #[test]
    fn settings_are_not_taken_for_credentials() {
        for (name, value) in [
            ("TOKEN_TTL", "3600000"),
            ("TOKEN_ISSUER", "my-issuer"),
            ("TOKEN_URL", "https://login.example.com/token"),
            ("JWT_TOKEN_LOCATION", "headers"),
            ("PASSWORD_HASHER", "argon2id"),
            ("PASSWORD_MIN_LENGTH", "twelve characters"),
            ("PASSWORD_RESET", "disabled"),
            ("REQUIRE_PASSWORD", "required"),
            ("SECRET_FILE", "/run/secrets/db"),
            ("DB_SECRET", "prod/db-credentials"),
            ("DB_SECRET", "arn:aws:secretsmanager:eu-west-1:1:secret:x"),
            ("DB_PASSWORD", "${DB_PASSWORD}"),
            ("DB_PASSWORD", "<from the vault>"),
            ("DB_PASSWORD", "********"),
            ("SECRETS_MANAGER_REGION", "eu-west-1"),
            ("API_KEY_HEADER", "X-Api-Key"),
            ("STRIPE_PUBLIC_KEY", "pk_live_0123456789abcdef"),
            ("NEXT_PUBLIC_API_KEY", "abcdef0123456789"),
            ("URL", "http://x/y@z"),
            ("URL", "http://user@host/"),
            ("URL", "postgres://app:$PASSWORD@db/x"),
            ("URL", "postgres://app:***@db/x"),
            ("VERSION", "1.22.333"),
            ("KEY", "AKIA"),
        ] {
            assert!(!looks_like_credential(name, value), "{name}={value}");
        }
    }
}
