//! Keys that sign catalogs and verify them, from files or the environment.

use lapstrake_catalog::signature::{KeyError, PublicKey, SigningKey};

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// The most bytes that a key has in PEM.
const LIMIT: u64 = 64 << 10;

/// Whose signatures count, and how many there must be.
pub struct Signers {
    /// The keys, each once.
    pub keys: Vec<PublicKey>,
    /// How many of them must have signed.
    pub threshold: usize,
}

impl Signers {
    /// Reads the keys. More signatures than keys are refused.
    pub fn read(given: &[String], threshold: usize, context: &Context) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for given in given {
            let key = PublicKey::from_pem(&text(given, context)?).map_err(|cause| unusable(given, cause))?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if threshold > keys.len().max(1) {
            let what = format!("{} different keys cannot give {threshold} signatures", keys.len());
            return Err(Failure::new(Exit::NotUnderstood, what));
        }
        Ok(Self { keys, threshold })
    }
}

/// Reads a key that signs.
pub fn signing_key(given: &str, context: &Context) -> Result<SigningKey, Failure> {
    SigningKey::from_pem(&text(given, context)?).map_err(|cause| unusable(given, cause))
}

fn text(given: &str, context: &Context) -> Result<String, Failure> {
    if let Some(name) = given.strip_prefix("env://") {
        let value = context.var(name).map(str::to_owned);
        return value.ok_or_else(|| {
            Failure::new(Exit::NotUnderstood, format!("the variable `{name}` has no key: it is not set"))
        });
    }
    let failed =
        |cause| Failure::because(Exit::NotUnderstood, format!("could not read the key `{given}`"), cause);
    let size = fs_err::metadata(given).map_err(failed)?.len();
    if size > LIMIT {
        return Err(Failure::new(Exit::NotUnderstood, format!("`{given}` is no key: it has {size} bytes")));
    }
    fs_err::read_to_string(given).map_err(failed)
}

fn unusable(given: &str, cause: KeyError) -> Failure {
    Failure::because(Exit::NotUnderstood, format!("`{given}` is no key that can be used"), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_is_in_a_file_or_a_variable_and_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem").display().to_string();
        fs_err::write(&file, PUBLIC).unwrap();
        let mut context = Context::for_tests();
        context.env.insert("KEY".to_owned(), PUBLIC.to_owned());
        let given = [file, "env://KEY".to_owned()];
        assert_eq!(Signers::read(&given, 1, &context).unwrap().keys.len(), 1);
        assert!(Signers::read(&given, 2, &context).is_err(), "one key cannot sign twice");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let mut context = Context::for_tests();
        context.env.insert("KEY".to_owned(), "hunter2-hunter2".to_owned());
        for (given, what) in [
            ("env://KEY", "`env://KEY` is no key that can be used"),
            ("env://NONE", "the variable `NONE` has no key: it is not set"),
            ("/nonexistent/key", "could not read the key `/nonexistent/key`"),
        ] {
            let failure = signing_key(given, &context).unwrap_err();
            assert_eq!((failure.exit, failure.what.as_str()), (Exit::NotUnderstood, what));
            assert!(!format!("{failure:?}").contains("hunter2"));
        }
    }
}
