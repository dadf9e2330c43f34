//! What a command ends with when it does not end well: a class with an exit code, what failed, why, and what to
//! do where that is known.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use lapstrake_oci::layer::PackError;
use lapstrake_oci::layout::LayoutError;
use lapstrake_oci::tree::ChangedWhileRead;
use lapstrake_sandbox::SandboxError;
use rustix::io::Errno;

const SIGTERM: usize = 15;

/// Classes of failure, each with the exit code that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// The class of what a signal to this process ended.
    #[must_use]
    pub fn of_signal(number: usize) -> Self {
        if number == SIGTERM { Self::Terminated } else { Self::Interrupted }
    }

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

    /// A failure with the error that led to it. What the machine does not give is never our fault, nor that of a source
    /// or a layer, wherever it shows.
    pub fn because(
        exit: Exit,
        what: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let cause = cause.into();
        match Trouble::behind(cause.as_ref()) {
            Some(trouble) if trouble.replaces(exit) => {
                let hint = Some(trouble.hint().to_owned());
                Self { cause: Some(cause), hint, ..Self::new(trouble.exit(), what) }
            }
            _ => Self { cause: Some(cause), ..Self::new(exit, what) },
        }
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
        Self::because(Exit::Ours, what, cause)
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

/// What a machine does not give, whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The disk, or the user's share of it, is full.
    Full,
    /// The disk, or the file system on it, failed.
    Broken,
    /// The process may not open more files.
    FewFiles,
    /// The process may not write files of that length.
    ShortFiles,
    /// There is no memory, or no process may be made, at this moment.
    Scarce,
    /// The user may not read or write there.
    Forbidden,
    /// A file was changed while it was read.
    Unsteady,
    /// Something else was put where a file or directory of ours was, or into it.
    Damaged,
}

impl Trouble {
    /// The trouble that an error or one of its causes is.
    fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let io = error.downcast_ref::<std::io::Error>();
        let errno = io.and_then(std::io::Error::raw_os_error).map(Errno::from_raw_os_error);
        let errno = errno.or_else(|| error.downcast_ref::<Errno>().copied());
        let errno = errno.or_else(|| io.and_then(|io| in_text(&io.to_string())));
        // What failed inside of a sandbox comes as a text.
        let inside = error.downcast_ref::<SandboxError>().map(ToString::to_string);
        let errno = errno.or_else(|| inside.as_deref().and_then(in_text));
        let wrapped = || io.and_then(std::io::Error::get_ref).and_then(|inner| Self::behind(inner));
        let kind = io.and_then(|cause| Self::of_kind(cause.kind()));
        let layout = error.downcast_ref::<LayoutError>().and_then(Self::of_layout);
        let is_changed = error.is::<ChangedWhileRead>()
            || matches!(error.downcast_ref::<PackError>(), Some(PackError::Changed { .. }));
        let unsteady = is_changed.then_some(Self::Unsteady);
        let here = layout.or(unsteady).or_else(|| errno.and_then(Self::of_errno)).or_else(wrapped).or(kind);
        here.or_else(|| error.source().and_then(Self::behind))
    }

    fn of_errno(errno: Errno) -> Option<Self> {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Some(Self::Full),
            Errno::IO => Some(Self::Broken),
            Errno::MFILE | Errno::NFILE => Some(Self::FewFiles),
            Errno::FBIG => Some(Self::ShortFiles),
            Errno::NOMEM | Errno::AGAIN | Errno::INTR => Some(Self::Scarce),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Some(Self::Forbidden),
            Errno::ISDIR | Errno::NOTDIR => Some(Self::Damaged),
            _ => None,
        }
    }

    fn of_kind(kind: ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(Self::Full),
            ErrorKind::FileTooLarge => Some(Self::ShortFiles),
            // Nothing was written although there was something to write.
            ErrorKind::WriteZero => Some(Self::Broken),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(Self::Forbidden),
            ErrorKind::IsADirectory | ErrorKind::NotADirectory => Some(Self::Damaged),
            _ => None,
        }
    }

    fn of_layout(error: &LayoutError) -> Option<Self> {
        let is_damaged = matches!(
            error,
            LayoutError::NotALayout { .. } | LayoutError::BadIndex { .. } | LayoutError::Corrupt { .. }
        );
        is_damaged.then_some(Self::Damaged)
    }

    /// Whether it is what a failure of this class is about. Who may read something, and what was put there, is a matter
    /// of its own where the class is not a fault of ours.
    fn replaces(self, exit: Exit) -> bool {
        exit == Exit::Ours || (exit == Exit::Refused && !matches!(self, Self::Forbidden | Self::Damaged))
    }

    fn exit(self) -> Exit {
        match self {
            Self::Forbidden => Exit::NotUnderstood,
            Self::Damaged => Exit::Refused,
            _ => Exit::Transient,
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Full => "free some space, or choose another place with `--data-dir`",
            Self::Broken => {
                "see what the system's log says about the disk, or choose another place with `--data-dir`"
            }
            Self::FewFiles => "raise the limit of open files, as with `ulimit -n 1024`",
            Self::ShortFiles => "raise the limit of the size of files, as with `ulimit -f unlimited`",
            Self::Scarce => "run the command again when there is more memory and there are fewer processes",
            Self::Unsteady => "run the command again, and let nothing change the source meanwhile",
            Self::Damaged => "delete what is damaged there: a build makes it again",
            Self::Forbidden => "see who may read and write there, or choose another place with `--data-dir`",
        }
    }
}

/// The number in the text of an error: what names the file keeps the text of its cause, and nothing else of one that has no
/// kind. The name may come behind it.
fn in_text(text: &str) -> Option<Errno> {
    let (_, rest) = text.rsplit_once("(os error ")?;
    let (number, _) = rest.split_once(')')?;
    number.parse().ok().map(Errno::from_raw_os_error)
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
    fn a_full_disk_is_no_fault_of_ours() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure = Failure::io("could not keep a layer", std::io::Error::other(full));
        assert_eq!(failure.exit, Exit::Transient);
        assert!(failure.to_string().contains("free some space"));
        assert_eq!(Failure::io("x", std::io::Error::other("y")).exit, Exit::Ours);
    }

    #[test]
    fn what_the_machine_does_not_give_is_told_from_what_is_wrong_with_a_source() {
        let exit_of = |exit, errno: Errno| Failure::because(exit, "x", std::io::Error::from(errno)).exit;
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::MFILE, Errno::NOMEM, Errno::AGAIN] {
            assert_eq!(exit_of(Exit::Ours, errno), Exit::Transient, "{errno}");
            assert_eq!(exit_of(Exit::Refused, errno), Exit::Transient, "{errno}");
            assert_eq!(exit_of(Exit::AppFailed, errno), Exit::AppFailed, "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::ROFS] {
            assert_eq!(exit_of(Exit::Ours, errno), Exit::NotUnderstood, "{errno}");
            assert_eq!(exit_of(Exit::Refused, errno), Exit::Refused, "{errno}");
        }
        assert_eq!(exit_of(Exit::Ours, Errno::NOENT), Exit::Ours);
        assert_eq!(exit_of(Exit::Ours, Errno::ISDIR), Exit::Refused);
        let damaged = LayoutError::NotALayout { dir: "d".into(), reason: "r".to_owned() };
        assert_eq!(Failure::because(Exit::Ours, "x", damaged).exit, Exit::Refused);
        assert_eq!(Failure::because(Exit::Ours, "x", Errno::IO).exit, Exit::Transient);
        let named = fs_err::read("/proc/self/mem").unwrap_err();
        assert!(named.raw_os_error().is_none() && named.to_string().contains("/proc/self/mem"), "{named:?}");
        assert_eq!(Failure::io("x", named).exit, Exit::Transient);
        let changed = std::io::Error::other(ChangedWhileRead);
        assert_eq!(Failure::io("x", changed).exit, Exit::Transient);
        let path = lapstrake_oci::tree::TreePath::new("a").unwrap();
        let changed = PackError::Changed { path, expected: 3, found: "0".to_owned() };
        assert_eq!(Failure::because(Exit::Ours, "x", changed).exit, Exit::Transient);
        let named_behind = std::io::Error::other("Input/output error (os error 5) at path \"/x\"");
        assert_eq!(Failure::io("x", named_behind).exit, Exit::Transient);
        let setup =
            |reason: &str| SandboxError::Setup { what: "`/dev/zero`".to_owned(), reason: reason.to_owned() };
        let exit_of_setup = |reason| Failure::because(Exit::Ours, "x", setup(reason)).exit;
        assert_eq!(exit_of_setup("Input/output error (os error 5)"), Exit::Transient);
        assert_eq!(exit_of_setup("a reason of its own"), Exit::Ours);
    }

    #[test]
    fn a_fault_of_ours_asks_for_a_report() {
        assert!(Failure::new(Exit::Ours, "x").to_string().contains("please report"));
        assert!(!Failure::new(Exit::Refused, "x").to_string().contains("please report"));
    }
}
