//! The kinds of problems, each with a name that never changes: what scripts and editors filter by.

/// Declares the rules: variant, name, and what the rule is about in one sentence.
macro_rules! rules {
    ($($variant:ident $id:literal $summary:literal;)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $summary] $variant,)*
        }

        impl Rule {
            /// All rules, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, which is the same in every version of the program.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// What it is about, in one sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => $summary,)*
                }
            }
        }
    };
}

rules! {
    Encoding "app-file/encoding" "The file is not UTF-8.";
    Syntax "app-file/syntax" "The file is not valid YAML.";
    TabIndentation "app-file/tab-indentation" "A tab is used as indentation.";
    Empty "app-file/empty" "The file holds nothing.";
    Limit "app-file/limit" "The file is larger or deeper than what is read.";
    SecondDocument "app-file/second-document" "A second document begins in the file.";
    DuplicateKey "app-file/duplicate-key" "A key is given twice.";
    MergeKey "app-file/merge-key" "Merge keys are not supported.";
    Tag "app-file/tag" "Tags are not supported.";
    Alias "app-file/alias" "An alias lies inside of what it stands for.";
    KeyForm "app-file/key-form" "A key is missing or is not text.";
    WrongType "app-file/wrong-type" "A value has another form than its key asks for.";
    ComposeFile "app-file/compose-file" "The file is a compose file.";
    MisspeltKey "app-file/misspelt-key" "A key is another spelling of a known one.";
    MisplacedKey "app-file/misplaced-key" "A known key stands in the wrong place.";
    UnknownKey "app-file/unknown-key" "A key is not known, and is ignored.";
    OperationalKey "app-file/operational-key" "A key sets what is not part of an image, and is ignored.";
    MissingKey "app-file/missing-key" "A key that must be there is missing.";
    FormatVersion "app-file/format-version" "The version of the file's format is not 1.0.";
    RuntimeCase "app-file/runtime-case" "The name of the runtime has capital letters.";
    EmptyValue "app-file/empty-value" "A key has no value.";
    CommandsList "app-file/commands-list" "`build.commands` is a list instead of a map of phases.";
    NothingToBuild "app-file/nothing-to-build" "The list of build commands is empty.";
    EmptyItem "app-file/empty-item" "An item of a list is empty, and is skipped.";
    CommandForm "app-file/command-form" "A command is a map or a list to YAML.";
    LostEffect "app-file/lost-effect" "A command has no effect on the next one.";
    PackageManager "app-file/package-manager" "A command needs a system package manager, which is not there.";
    SecondRuntime "app-file/second-runtime" "A command brings a second runtime.";
    StartCommand "app-file/start-command" "The start command cannot be read.";
    StartShell "app-file/start-shell" "The shell of the start command does what may not be meant.";
    StartList "app-file/start-list" "The start command is a list.";
    RuntimeVersion "app-file/runtime-version" "The version lock is not a version.";
    Port "app-file/port" "The port is not a number from 1 to 65535.";
    PortVariable "app-file/port-variable" "What should hold the port is not the name of a variable.";
    PortInEnv "app-file/port-in-env" "A variable that always holds the port is set again.";
    VariableForm "app-file/variable-form" "A variable or secret has not the form that the list asks for.";
    VariableName "app-file/variable-name" "The name of a variable is not usable, or not everywhere.";
    ReservedName "app-file/reserved-name" "The name of a variable is reserved by the managed service.";
    VariableValue "app-file/variable-value" "The value of a variable is too long or holds a zero byte.";
    RepeatedName "app-file/repeated-name" "Two variables or secrets have the same name.";
    ReferenceInEnv "app-file/reference-in-env" "A reference to a secret stands among plain variables.";
    PlainSecret "app-file/plain-secret" "A secret is given by value.";
    SecretReference "app-file/secret-reference" "The reference of a secret has no known form, or a wrong length.";
    UnexpandedValue "app-file/unexpanded-value" "A value looks as if it were expanded, but is taken literally.";
    PlainCredential "app-file/plain-credential" "A value looks like a credential in plain text.";
    ManyVariables "app-file/many-variables" "There are more variables than the managed service's tools take.";
    UnknownRuntime "runtime/unknown" "The catalog has no such runtime.";
    UnknownVersion "runtime/version" "The catalog has no such version of the runtime.";
    RuntimePlatform "runtime/platform" "The runtime does not exist for the platform.";
    RuntimeRefused "runtime/refused" "The version may not be taken: it is a preview, out of support or revoked.";
    RuntimeStatus "runtime/status" "The version may be taken, but not for ever.";
    EnginesConflict "runtime/engines-conflict" "`engines.node` and the app file exclude each other.";
    EnginesUnreadable "runtime/engines-unreadable" "`engines.node` cannot be read, and is ignored.";
    VersionMismatch "runtime/version-mismatch" "The project's own files ask for another version than the app file.";
    ProjectFile "source/project-file" "A file that describes the project cannot be read.";
    FileName "source/file-name" "The app file has another name than the one that is looked for.";
    LockFile "packages/lock-file" "A lock file cannot be read, so that nothing is known of its packages.";
    PackageScheme "packages/scheme" "A package comes from an address that is not https, or from outside of the source.";
    PackageHost "packages/host" "A package comes from a host that is none of the registries.";
    PackageUnhashed "packages/unhashed" "A package is held by no hash: whatever its place serves is installed.";
    PackageWeakHash "packages/weak-hash" "A package is held by MD5 or SHA-1 only, for which other bytes can be made.";
    PackageName "packages/name" "A package comes from an address that belongs to a package of another name.";
    PackageAlias "packages/alias" "A package is installed under another name than it has at its registry.";
    NotLocked "packages/not-locked" "Packages are installed that no lock file holds.";
    NothingFound "source/nothing-found" "There is no app file, and nothing that tells how to build the app.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_a_sentence() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for rule in Rule::ALL {
            let id = rule.id();
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '/';
            assert!(id.chars().all(is_plain) && id.matches('/').count() == 1, "{id}");
            assert!(rule.summary().ends_with('.'), "{id}");
        }
    }
}
