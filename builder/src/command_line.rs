//! The start command: from the string in the app file to a vector in the image configuration.
//!
//! The managed service splits the string at white space and starts it without a shell. Strings that work there
//! give the same vector here; strings that need a shell, which fail there, get one.

mod scan;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use scan::is_builtin;
pub use scan::{CommandLineError, Trigger};
use scan::{Scanned, scan};

/// What the image runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartCommand {
    /// A program and its arguments, started directly.
    Exec(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

impl StartCommand {
    /// Returns the vector for the image configuration's `Cmd`.
    #[must_use]
    pub fn to_cmd(&self) -> Vec<String> {
        match self {
            Self::Exec(words) => words.clone(),
            Self::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        }
    }

    /// Lists the programs that the command names where a command begins, as far as its text tells.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => scan(line).map(|scanned| scanned.programs).unwrap_or_default(),
            Self::Exec(words) => match words.as_slice() {
                [shell, option, line, ..] if is_shell(shell) && option == "-c" => {
                    let inner = scan(line).map(|scanned| scanned.programs).unwrap_or_default();
                    [shell.clone()].into_iter().chain(inner).collect()
                }
                [program, ..] => vec![program.clone()],
                [] => Vec::new(),
            },
        }
    }

    /// Tells whether the command needs npm in the image.
    #[must_use]
    pub fn uses_npm(&self) -> bool {
        self.programs().iter().any(|program| matches!(base_name(program), "npm" | "npx"))
    }

    /// Tells whether the command needs a shell in the image.
    #[must_use]
    pub fn uses_shell(&self) -> bool {
        match self {
            Self::Shell(_) => true,
            Self::Exec(words) => words.first().is_some_and(|word| is_shell(word)),
        }
    }
}

fn is_shell(program: &str) -> bool {
    matches!(base_name(program), "sh" | "dash" | "bash" | "ash")
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// A start command as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartText {
    /// One text, whose form depends on what it holds.
    Line(String),
    /// A program and its arguments, each as given.
    Words(Vec<String>),
}

/// The form that a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Shell form where the text needs a shell, exec form otherwise.
    #[default]
    AsNeeded,
    /// Exec form by the managed service's rule: words are what white space separates, and nothing in them is honoured,
    /// quotes included. A text that worked there gives the same vector.
    Literal,
    /// Shell form, though the text may not need it.
    Shell,
}

/// Why a start command has its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing in the text needs a shell.
    NoShellNeeded,
    /// This in the text needs a shell.
    Needs(Trigger),
    /// The user asked for the form.
    AskedFor,
    /// It is a list of words.
    AsGiven,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShellNeeded => f.write_str("nothing in it needs a shell"),
            Self::Needs(trigger) => write!(f, "{trigger} needs a shell"),
            Self::AskedFor => f.write_str("the form was asked for"),
            Self::AsGiven => f.write_str("it is a list, taken as given"),
        }
    }
}

/// What a user should know of a start command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The shell expands a pattern that the managed service would have passed on as it is.
    Glob {
        /// The word with the pattern.
        word: String,
    },
    /// The shell stays between the container and the app, so the app does not get its signals.
    ShellStays,
    /// What looks like the shell's reaches the program as it is.
    Literal {
        /// What it is.
        text: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob { word } => write!(f, "the shell expands `{word}` to file names: quote it to pass it as it is"),
            Self::ShellStays => f.write_str(
                "the shell stays the parent of the app, which then gets no signal to stop: put `exec` before the last command",
            ),
            Self::Literal { text } => {
                write!(f, "there is no shell: {text} reaches the program as it is")
            }
        }
    }
}

/// A start command, why it has its form, and what the user should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The command.
    pub command: StartCommand,
    /// Why it has its form.
    pub reason: Reason,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl CommandLine {
    /// Reads a start command, in the form that the user asks for. A list is taken as it is, and by a shell only if one is
    /// asked for.
    pub fn of(start: &StartText, form: Form) -> Result<Self, CommandLineError> {
        let words = match start {
            StartText::Line(text) => return Self::parse_as(text, form),
            StartText::Words(words) => words,
        };
        if words.first().is_none_or(String::is_empty) {
            return Err(CommandLineError::Empty);
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(CommandLineError::ZeroByte);
        }
        let (command, reason) = match form {
            Form::Shell => {
                let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                (StartCommand::Shell(format!("exec {}", quoted.join(" "))), Reason::AskedFor)
            }
            Form::AsNeeded | Form::Literal => (StartCommand::Exec(words.clone()), Reason::AsGiven),
        };
        Ok(Self { command, reason, warnings: Vec::new() })
    }

    /// Reads the string of an app file.
    pub fn parse(text: &str) -> Result<Self, CommandLineError> {
        Self::parse_as(text, Form::AsNeeded)
    }

    /// Reads a string, in the form that the user asks for.
    pub fn parse_as(text: &str, form: Form) -> Result<Self, CommandLineError> {
        let text = text.trim_matches(scan::is_blank);
        if form == Form::Literal {
            return literal(text);
        }
        let scanned = scan(text)?;
        let reason = match (form, scanned.trigger.clone()) {
            (Form::AsNeeded, Some(trigger)) => Reason::Needs(trigger),
            (Form::AsNeeded, None) => Reason::NoShellNeeded,
            _ => Reason::AskedFor,
        };
        if reason == Reason::NoShellNeeded {
            return Ok(Self { command: StartCommand::Exec(scanned.words), reason, warnings: Vec::new() });
        }
        shell_form(text, scanned, reason)
    }
}

/// A word for a shell, which gives it back as it is.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Splits a text into the words that a shell makes of it; expansions and operators stay as they are written.
pub fn words(text: &str) -> Result<Vec<String>, CommandLineError> {
    Ok(scan(text)?.words)
}

/// The managed service's own reading: white space separates, all else is text.
fn literal(text: &str) -> Result<CommandLine, CommandLineError> {
    let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        return Err(CommandLineError::Empty);
    }
    if text.contains('\0') {
        return Err(CommandLineError::ZeroByte);
    }
    let trigger = scan(text).ok().and_then(|scanned| scanned.trigger).map(|trigger| trigger.to_string());
    let quoting = ['\'', '"', '\\'].into_iter().filter(|&c| text.contains(c)).map(|c| format!("`{c}`"));
    let warnings = trigger.into_iter().chain(quoting).map(|text| Warning::Literal { text });
    Ok(CommandLine {
        command: StartCommand::Exec(words),
        reason: Reason::AskedFor,
        warnings: warnings.collect(),
    })
}

fn shell_form(text: &str, scanned: Scanned, reason: Reason) -> Result<CommandLine, CommandLineError> {
    if let Some(word) = scanned.parenthesis {
        let trigger = scanned.trigger.map(|trigger| trigger.to_string()).unwrap_or_default();
        return Err(CommandLineError::Parenthesis { word, trigger });
    }
    let mut warnings: Vec<_> = scanned.globs.into_iter().map(|word| Warning::Glob { word }).collect();
    // dash stays the parent of what `-c` names, so the app would not get the container's SIGTERM.
    let line = if scanned.is_simple {
        format!("exec {text}")
    } else {
        if !scanned.ends_in_exec {
            warnings.push(Warning::ShellStays);
        }
        text.to_owned()
    };
    Ok(CommandLine { command: StartCommand::Shell(line), reason, warnings })
}
