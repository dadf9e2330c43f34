//! The rules of an audit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// To be dealt with.
    Warning,
    /// Must not stay so.
    Error,
}

impl Severity {
    /// The name that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! rules {
    ($($variant:ident $id:literal $title:literal;)*) => {
        /// A rule. Its number is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Rule {
            $(
                #[doc = $title]
                #[serde(rename = $id)]
                $variant,
            )*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The rule's number, as in `RT001`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// What it is about, in one sentence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

rules! {
    NewerBuild "RT001" "A newer build of the same version exists.";
    NewerPatch "RT002" "A newer version of the same line exists.";
    NewerLine "RT003" "A newer line, or a successor of the runtime, exists.";
    Deprecated "RT004" "The runtime is deprecated.";
    LanguageEnded "RT005" "The makers of the language have ended its support.";
    SystemEnded "RT006" "The support of the operating system has ended.";
    Revoked "RT007" "The runtime is revoked.";
    FixesMissing "RT008" "Security fixes are missing.";
    Unknown "RT009" "The layers are none that the catalog has published.";
    LabelLies "RT010" "The label names another runtime than the layers prove.";
    CatalogUntrusted "RT011" "The catalog cannot be relied on.";
    Overridden "RT012" "The image was built with a permission, or without a look for revocations.";
    PlatformsDiffer "RT013" "The platforms of an image index are on different runtimes.";
    NotPermitted "RT014" "The policy does not permit the runtime.";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A text that is the number of no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{text}`{}", nearest.map(|id| format!("; did you mean `{id}`?")).unwrap_or_default())]
pub struct RuleError {
    /// What was given.
    pub text: String,
    /// The rule that was probably meant.
    pub nearest: Option<&'static str>,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let found = Self::ALL.iter().copied().find(|rule| rule.id() == text);
        found.ok_or_else(|| {
            let lower: Vec<String> = Self::ALL.iter().map(|rule| rule.id().to_ascii_lowercase()).collect();
            let meant = nearest(text, lower.iter().map(String::as_str));
            let meant =
                meant.and_then(|meant| Self::ALL.iter().find(|rule| rule.id().eq_ignore_ascii_case(meant)));
            RuleError { text: text.to_owned(), nearest: meant.map(|rule| rule.id()) }
        })
    }
}
