//! What a command ends with when it does not end well: a class with an exit code, what failed, why, and what to
//! do where that is known.

use std::error::Error;
use std::fmt;

/// Classes of failure, each with the exit code that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The app's own build commands failed.
    AppFailed,
    /// Arguments, app file, runtime or version were not understood.
    NotUnderstood,
    /// A registry or a package mirror refused.
    RegistryRefused,
    /// Hostile or malformed input, or a digest that does not match.
    Refused,
    /// The isolation that was asked for is not available on this machine.
    NoIsolation,
    /// A fault of the program itself.
    Ours,
    /// The same command may succeed later.
    Transient,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::AppFailed => 1,
            Self::NotUnderstood => 2,
            Self::RegistryRefused => 3,
            Self::Refused => 5,
            Self::NoIsolation => 6,
            Self::Ours => 70,
            Self::Transient => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The class.
    pub exit: Exit,
    /// What failed, in lower case and without a full stop. Several lines where the text was rendered with positions.
    pub what: String,
    /// Why, as the errors below saw it.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
    /// What the user can do.
    pub hint: Option<String>,
    /// Whether `what` begins with a position and `error:` already.
    pub rendered: bool,
}

impl Failure {
    /// A failure without a cause below it.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), cause: None, hint: None, rendered: false }
    }

    /// A failure with the error that led to it.
    pub fn because(
        exit: Exit,
        what: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(exit, what) }
    }

    /// The same failure with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure whose text has been rendered with positions and hints.
    pub fn rendered(exit: Exit, text: impl Into<String>) -> Self {
        Self { rendered: true, ..Self::new(exit, text) }
    }

    /// An operation on a file or directory of ours that failed.
    pub fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        let exit = match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Exit::Transient,
            _ => Exit::Ours,
        };
        let hint = (exit == Exit::Transient)
            .then(|| "free some space, or choose another place with `--data-dir`".to_owned());
        Self { hint, ..Self::because(exit, what, cause) }
    }

    /// The causes, outermost first, each said once.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> =
            self.cause.as_ref().map(|cause| cause.as_ref() as &(dyn Error + 'static));
        while let Some(error) = next {
            let text = error.to_string();
            if !texts.last().is_some_and(|last| last.ends_with(&text)) {
                texts.push(text);
            }
            next = error.source();
        }
        texts
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rendered {
            f.write_str("error: ")?;
        }
        f.write_str(&self.what)?;
        for cause in self.causes() {
            write!(f, "\ncause: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        if self.exit == Exit::Ours {
            f.write_str("\nnote: this should not happen: please report it with the command that led here")?;
        }
        Ok(())
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::because(
            Exit::RegistryRefused,
            "could not push to `r.example.com/a:1`",
            "401 UNAUTHORIZED",
        )
        .hint("log in first");
        assert_eq!(
            failure.to_string(),
            "error: could not push to `r.example.com/a:1`\ncause: 401 UNAUTHORIZED\nhint: log in first"
        );
        assert_eq!(failure.exit.code(), 3);
    }

    #[test]
    fn a_fault_of_ours_asks_for_a_report() {
        assert!(Failure::new(Exit::Ours, "x").to_string().contains("please report"));
        assert!(!Failure::new(Exit::Refused, "x").to_string().contains("please report"));
    }
}
