//! What `--secret` says: `id=NAME[,env=VAR|,src=FILE][,variable[=NAME]][,phases=build+pre-run]`.
//!
//! The notation is that of `docker build --secret`, with its other names for the same things, and two keys more. An
//! error never repeats what was given: somebody may have written the value where its source belongs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::steps::Phase;

/// The keys, as messages list them.
const KEYS: &str = "`id`, `env`, `src` (or `source`), `variable`, `phases` and `type`";

/// A secret as it was asked for; its value has not been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    /// Its name, and that of its file below `/run/secrets`.
    pub id: String,
    /// Where its value is.
    pub source: SecretSource,
    /// The variable that holds it as well, if one is to.
    pub variable: Option<String>,
    /// The phases whose commands see it.
    pub phases: BTreeSet<Phase>,
}

/// Where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a variable of the caller's environment.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

/// What is wrong with a secret as it was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// A part is no pair.
    #[error("part {part} is not `KEY=VALUE`")]
    NoPair {
        /// Its number, from 1.
        part: usize,
    },
    /// A part has quotes that do not close, or text after them.
    #[error("part {part} has unbalanced quotes")]
    Quotes {
        /// Its number, from 1.
        part: usize,
    },
    /// A key is not one of ours.
    #[error("part {part} has an unknown key; the keys are {KEYS}")]
    UnknownKey {
        /// Its number, from 1.
        part: usize,
    },
    /// A key is there twice, or by two of its names.
    #[error("`{key}` is given twice")]
    Repeated {
        /// The key.
        key: &'static str,
    },
    /// A key has no value.
    #[error("`{key}` has no value")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// The name is missing.
    #[error("`id` is missing")]
    NoId,
    /// The name cannot be that of a file.
    #[error(
        "`id` must be of letters, digits, `.`, `_` and `-`, at most 128 of them, and neither `.` nor `..`"
    )]
    Id,
    /// Both sources are given.
    #[error("both `env` and `src` are given; a secret has one source")]
    TwoSources,
    /// The kind is not one.
    #[error("`type` must be `env` or `file`")]
    Type,
    /// The kind and the source contradict each other.
    #[error("`type={given}` needs `{needs}`")]
    TypeNeeds {
        /// The kind.
        given: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// The variable has no name that a shell knows.
    #[error("`variable` needs a name of letters, digits and `_` that does not begin with a digit")]
    Variable,
    /// A phase is not one.
    #[error("`phases` knows `pre-build`, `build`, `post-build` and `pre-run`, joined by `+`")]
    Phase,
}

impl SecretSpec {
    /// Parses one secret.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let mut keys = Keys::default();
        for (index, field) in fields(text)?.iter().enumerate() {
            keys.take(index + 1, field)?;
        }
        let id = keys.id.take().ok_or(SpecError::NoId)?;
        if !is_file_name(&id) {
            return Err(SpecError::Id);
        }
        let variable = keys.variable.take().map(|variable| match variable {
            Variable::LikeTheSecret => id.clone(),
            Variable::Named(name) => name,
        });
        if variable.as_ref().is_some_and(|name| !is_variable_name(name)) {
            return Err(SpecError::Variable);
        }
        let phases = keys.phases()?;
        Ok(Self { source: keys.source(&id)?, id, variable, phases })
    }
}

/// What the keys said so far.
#[derive(Default)]
struct Keys {
    id: Option<String>,
    env: Option<String>,
    src: Option<String>,
    kind: Option<String>,
    phases: Option<String>,
    variable: Option<Variable>,
}

/// What a variable that was asked for is called.
enum Variable {
    LikeTheSecret,
    Named(String),
}

impl Keys {
    fn take(&mut self, part: usize, field: &str) -> Result<(), SpecError> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let (key, place) = match key {
            "id" => ("id", &mut self.id),
            "env" => ("env", &mut self.env),
            "src" | "source" => ("src", &mut self.src),
            "type" => ("type", &mut self.kind),
            "phases" | "phase" => ("phases", &mut self.phases),
            "variable" => {
                let name = value.map_or(Variable::LikeTheSecret, |name| Variable::Named(name.to_owned()));
                return if self.variable.replace(name).is_some() {
                    Err(SpecError::Repeated { key: "variable" })
                } else {
                    Ok(())
                };
            }
            _ if value.is_none() => return Err(SpecError::NoPair { part }),
            _ => return Err(SpecError::UnknownKey { part }),
        };
        let value = value.ok_or(SpecError::NoPair { part })?;
        if value.is_empty() {
            return Err(SpecError::Empty { key });
        }
        match place.replace(value.to_owned()) {
            Some(_) => Err(SpecError::Repeated { key }),
            None => Ok(()),
        }
    }

    /// As Docker has it: `type=env` makes `src` the name of a variable, and what is not said is the variable `id`.
    fn source(self, id: &str) -> Result<SecretSource, SpecError> {
        let kind = self.kind.as_deref();
        match (kind, self.env, self.src) {
            (Some(other), ..) if !["env", "file"].contains(&other) => Err(SpecError::Type),
            (_, Some(_), Some(_)) => Err(SpecError::TwoSources),
            (Some("file"), _, None) => Err(SpecError::TypeNeeds { given: "file", needs: "src=FILE" }),
            (Some("env"), None, Some(name)) | (_, Some(name), None) => Ok(SecretSource::Variable(name)),
            (_, None, Some(file)) => Ok(SecretSource::File(file.into())),
            (_, None, None) => Ok(SecretSource::Variable(id.to_owned())),
        }
    }

    fn phases(&self) -> Result<BTreeSet<Phase>, SpecError> {
        match &self.phases {
            None => Ok(Phase::ALL.into()),
            Some(list) => list.split('+').map(|name| Phase::parse(name).ok_or(SpecError::Phase)).collect(),
        }
    }
}

/// The parts between commas. A part in double quotes may hold commas, and quotes that are doubled.
fn fields(text: &str) -> Result<Vec<String>, SpecError> {
    let mut fields = Vec::new();
    let mut rest = text.trim();
    loop {
        let part = fields.len() + 1;
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(SpecError::Quotes { part })?,
            None => match rest.find(',') {
                Some(comma) => (rest[..comma].to_owned(), &rest[comma..]),
                None => (rest.to_owned(), ""),
            },
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(SpecError::Quotes { part }),
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let quote = rest.find('"')?;
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, rest)),
        }
    }
}

fn is_file_name(id: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    id.bytes().all(letters) && (1..=128).contains(&id.len()) && id != "." && id != ".."
}

fn is_variable_name(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(letters) && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SecretSpec {
        SecretSpec::parse(text).unwrap()
    }

    fn refused(text: &str) -> SpecError {
        SecretSpec::parse(text).unwrap_err()
    }

    #[test]
    fn what_is_not_said_is_the_variable_of_the_name_a_file_and_all_phases() {
        let secret = parse("id=NPM_TOKEN");
        assert_eq!(secret.source, SecretSource::Variable("NPM_TOKEN".into()));
        assert_eq!((secret.variable, secret.phases), (None, Phase::ALL.into()));
    }

    #[test]
    fn every_key_is_understood() {
        let secret = parse("id=npm,env=NPM_TOKEN,variable=TOKEN,phases=build+pre-run");
        assert_eq!(secret.source, SecretSource::Variable("NPM_TOKEN".into()));
        assert_eq!(secret.variable.as_deref(), Some("TOKEN"));
        assert_eq!(secret.phases, [Phase::Build, Phase::PreRun].into());
        assert_eq!(parse("src=/a b/c,id=x.y").source, SecretSource::File("/a b/c".into()));
        assert_eq!(parse("id=A_1,variable").variable.as_deref(), Some("A_1"));
    }

    #[test]
    fn what_dockers_users_write_means_the_same() {
        for same in ["type=file,id=x,source=f", "id=x,src=f", "type=file,id=x,src=f", "id=x,\"source=f\""] {
            assert_eq!(parse(same), parse("id=x,src=f"), "{same}");
        }
        for same in ["type=env,id=x,env=V", "type=env,id=x,src=V", "type=env,id=x,source=V"] {
            assert_eq!(parse(same), parse("id=x,env=V"), "{same}");
        }
        assert_eq!(parse("type=env,id=x"), parse("id=x,env=x"));
        assert_eq!(parse("id=x,\"src=a,\"\"b\"\"\"").source, SecretSource::File("a,\"b\"".into()));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_rule() {
        let cases = [
            ("", SpecError::NoPair { part: 1 }),
            ("id=x,,env=y", SpecError::NoPair { part: 2 }),
            ("id=x,env", SpecError::NoPair { part: 2 }),
            ("id=x,\"src=a", SpecError::Quotes { part: 2 }),
            ("id=x,\"src=a\"b", SpecError::Quotes { part: 2 }),
            ("id=x,target=/a", SpecError::UnknownKey { part: 2 }),
            ("id=x,ID=y", SpecError::UnknownKey { part: 2 }),
            ("id=x,id=y", SpecError::Repeated { key: "id" }),
            ("id=x,src=a,source=b", SpecError::Repeated { key: "src" }),
            ("id=x,variable,variable=y", SpecError::Repeated { key: "variable" }),
            ("id=x,env=", SpecError::Empty { key: "env" }),
            ("env=x", SpecError::NoId),
            ("id=x,env=a,src=b", SpecError::TwoSources),
            ("id=x,type=vault", SpecError::Type),
            ("id=x,type=file", SpecError::TypeNeeds { given: "file", needs: "src=FILE" }),
            ("id=x.y,variable", SpecError::Variable),
            ("id=x,variable=1A", SpecError::Variable),
            ("id=x,variable=", SpecError::Variable),
            ("id=x,phases=build,pre-run", SpecError::NoPair { part: 3 }),
            ("id=x,phases=pre_run", SpecError::Phase),
            ("id=x,phases=build+", SpecError::Phase),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text}");
        }
    }

    #[test]
    fn an_id_is_the_name_of_one_file() {
        for bad in [".", "..", "a/b", "../x", "a\\b", "a b", "a\0", "é", &"x".repeat(129)] {
            assert_eq!(refused(&format!("id={bad}")), SpecError::Id, "{bad:?}");
        }
        for good in ["a", ".npmrc", "A-b_c.1", &"x".repeat(128)] {
            assert_eq!(parse(&format!("id={good}")).id, good);
        }
    }

    #[test]
    fn no_refusal_repeats_what_was_given() {
        for text in ["hunter22", "id=hunter2/2", "hunter22=x", "id=x,hunter22", "id=x,type=hunter22"] {
            assert!(!refused(text).to_string().contains("hunter"), "{text}");
        }
    }
}
