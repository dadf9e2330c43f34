//! Reads a command line as a POSIX shell would, as far as needed to tell whether it needs one.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// Why a text is not a start command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// There is nothing to run.
    #[error("the start command is empty")]
    Empty,
    /// A quote, a substitution or an escape is opened and not closed.
    #[error("`{opened}` is not closed in the start command")]
    Unbalanced {
        /// What was opened.
        opened: String,
    },
    /// The shell, which something else needs, would stumble over a parenthesis.
    #[error("the shell, needed for {trigger}, cannot read the parenthesis in `{word}`")]
    Parenthesis {
        /// The word.
        word: String,
        /// What needs the shell.
        trigger: String,
    },
    /// A zero byte cannot be part of an argument.
    #[error("the start command contains a zero byte")]
    ZeroByte,
}

impl CommandLineError {
    /// Says what to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("write the command that starts the app: `python3 app.py`".to_owned()),
            Self::Unbalanced { opened } if opened == "\\" => {
                Some("a backslash at the end quotes nothing: remove it, or write it twice".to_owned())
            }
            Self::Unbalanced { .. } => {
                Some("close it, or put a backslash before it where the character itself is meant".to_owned())
            }
            Self::Parenthesis { word, .. } => Some(format!("put quotes around the word: `'{word}'`")),
            Self::ZeroByte => None,
        }
    }
}

/// What in a text needs a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An operator between or around commands: `&&`, `|`, `;`, `>`.
    Operator(String),
    /// More than one line.
    Lines,
    /// An expansion: `$PORT`, `${PORT}`, `$(date)`, or backticks.
    Expansion(String),
    /// A word that begins with `~`.
    Home,
    /// A word that begins with `#`.
    Comment,
    /// A parenthesis where a command begins.
    Subshell,
    /// A variable set before the command.
    Assignment(String),
    /// A word that only the shell knows.
    Builtin(String),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(text) | Self::Expansion(text) => write!(f, "`{text}`"),
            Self::Lines => f.write_str("the second line"),
            Self::Home => f.write_str("`~`"),
            Self::Comment => f.write_str("`#`"),
            Self::Subshell => f.write_str("`(`"),
            Self::Assignment(name) => write!(f, "the assignment to `{name}`"),
            Self::Builtin(word) => write!(f, "the shell's own `{word}`"),
        }
    }
}

/// What a text holds.
pub(super) struct Scanned {
    /// The words, with quotes taken away.
    pub(super) words: Vec<String>,
    /// The first thing that needs a shell.
    pub(super) trigger: Option<Trigger>,
    /// Words with a pattern outside of quotes.
    pub(super) globs: Vec<String>,
    /// A word with a parenthesis that is outside of quotes and not the shell's.
    pub(super) parenthesis: Option<String>,
    /// The words where commands begin, assignments and `exec` passed over.
    pub(super) programs: Vec<String>,
    /// Whether it is one program with its arguments, so that `exec` can stand before it.
    pub(super) is_simple: bool,
    /// Whether the last command begins with `exec`.
    pub(super) ends_in_exec: bool,
}

/// Words that a shell acts on by itself; no program of that name can be started.
const BUILTINS: [&str; 32] = [
    "cd", "exec", "export", "set", "unset", ".", "source", "eval", "ulimit", "umask", "trap", "if", "for",
    "while", "until", "case", "{", "!", ":", "alias", "command", "exit", "getopts", "hash", "local", "read",
    "readonly", "return", "shift", "times", "type", "wait",
];

/// Words of the shell behind which another command begins.
const BEFORE_COMMANDS: [&str; 10] =
    ["if", "then", "elif", "else", "while", "until", "do", "{", "!", "command"];

/// Whether a shell acts on a word by itself where a command begins.
pub(crate) fn is_builtin(word: &str) -> bool {
    BUILTINS.contains(&word)
        || BEFORE_COMMANDS.contains(&word)
        || matches!(word, "fi" | "done" | "esac" | "}")
}

/// What separates words outside of quotes.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

pub(super) fn scan(text: &str) -> Result<Scanned, CommandLineError> {
    if text.trim_matches(is_blank).is_empty() {
        return Err(CommandLineError::Empty);
    }
    if text.contains('\0') {
        return Err(CommandLineError::ZeroByte);
    }
    let mut scanner = Scanner::new(text);
    scanner.run()?;
    Ok(scanner.finish())
}

/// One word as it is read.
#[derive(Default)]
struct Word {
    text: String,
    /// Where the first quoted part begins.
    quoted_from: Option<usize>,
    has_glob: bool,
    has_parenthesis: bool,
}

struct Scanner<'a> {
    chars: Peekable<Chars<'a>>,
    word: Option<Word>,
    words: Vec<String>,
    trigger: Option<Trigger>,
    globs: Vec<String>,
    parenthesis: Option<String>,
    programs: Vec<String>,
    /// Whether the next word is where a command begins.
    at_command: bool,
    /// Whether the last command begins with `exec`.
    in_exec: bool,
    is_simple: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
            word: None,
            words: Vec::new(),
            trigger: None,
            globs: Vec::new(),
            parenthesis: None,
            programs: Vec::new(),
            at_command: true,
            in_exec: false,
            is_simple: true,
        }
    }

    fn run(&mut self) -> Result<(), CommandLineError> {
        while let Some(c) = self.chars.next() {
            match c {
                '\n' => self.control(Trigger::Lines),
                c if is_blank(c) => self.end_word(),
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => self.escaped()?,
                '$' => self.dollar()?,
                '`' => self.backticks()?,
                '&' | '|' | ';' => self.operator(c),
                '<' | '>' => self.redirection(c),
                '(' | ')' => self.parenthesis(c),
                '~' if self.word.is_none() => self.marked(c, Trigger::Home),
                '#' if self.word.is_none() => self.comment(),
                c => self.plain(c),
            }
        }
        self.end_word();
        Ok(())
    }

    fn finish(self) -> Scanned {
        Scanned {
            words: self.words,
            trigger: self.trigger,
            globs: self.globs,
            parenthesis: self.parenthesis,
            programs: self.programs,
            is_simple: self.is_simple,
            ends_in_exec: self.in_exec,
        }
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    /// Notes that what comes next is quoted.
    fn quoted(&mut self) {
        let word = self.word();
        word.quoted_from.get_or_insert(word.text.len());
    }

    fn plain(&mut self, c: char) {
        let word = self.word();
        word.text.push(c);
        word.has_glob |= matches!(c, '*' | '?' | '[');
    }

    fn needs_shell(&mut self, trigger: Trigger) {
        self.trigger.get_or_insert(trigger);
    }

    fn marked(&mut self, c: char, trigger: Trigger) {
        self.needs_shell(trigger);
        self.plain(c);
    }

    /// A comment reaches to the end of its line: nothing in it counts.
    fn comment(&mut self) {
        self.needs_shell(Trigger::Comment);
        while self.chars.peek().is_some_and(|&c| c != '\n') {
            self.chars.next();
        }
    }

    fn single_quoted(&mut self) -> Result<(), CommandLineError> {
        self.quoted();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(()),
                Some(c) => self.word().text.push(c),
                None => return Err(unbalanced("'")),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), CommandLineError> {
        self.quoted();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(()),
                Some('\\') => self.escaped_in_quotes()?,
                Some('$') => self.dollar()?,
                Some('`') => self.backticks()?,
                Some(c) => self.word().text.push(c),
                None => return Err(unbalanced("\"")),
            }
        }
    }

    fn escaped(&mut self) -> Result<(), CommandLineError> {
        match self.chars.next() {
            // An escaped line end is no character at all, and joins the lines.
            Some('\n') => Ok(()),
            Some(c) => {
                self.quoted();
                self.word().text.push(c);
                Ok(())
            }
            None => Err(unbalanced("\\")),
        }
    }

    fn escaped_in_quotes(&mut self) -> Result<(), CommandLineError> {
        match self.chars.next() {
            Some('\n') => {}
            Some(c @ ('$' | '`' | '"' | '\\')) => self.word().text.push(c),
            Some(c) => self.word().text.extend(['\\', c]),
            None => return Err(unbalanced("\"")),
        }
        Ok(())
    }

    /// A `$` is an expansion only where a name, a brace, a parenthesis or a special parameter follows.
    fn dollar(&mut self) -> Result<(), CommandLineError> {
        let mut text = "$".to_owned();
        match self.chars.peek().copied() {
            Some('{') => self.enclosed(&mut text, "${", '{', '}')?,
            Some('(') => self.enclosed(&mut text, "$(", '(', ')')?,
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                while let Some(c) = self.chars.next_if(|&c| c.is_ascii_alphanumeric() || c == '_') {
                    text.push(c);
                }
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => text.extend(self.chars.next()),
            _ => {
                self.word().text.push('$');
                return Ok(());
            }
        }
        self.word().text.push_str(&text);
        self.needs_shell(Trigger::Expansion(text));
        Ok(())
    }

    /// Takes what stands between a pair, pairs inside and quotes included.
    fn enclosed(
        &mut self,
        text: &mut String,
        opened: &str,
        open: char,
        close: char,
    ) -> Result<(), CommandLineError> {
        let mut depth = 0_usize;
        let mut quote = None;
        while let Some(c) = self.chars.next() {
            text.push(c);
            match (quote, c) {
                (None | Some('"'), '\\') => text.extend(self.chars.next()),
                (None, '\'' | '"') => quote = Some(c),
                (Some(q), c) if q == c => quote = None,
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(unbalanced(opened))
    }

    fn backticks(&mut self) -> Result<(), CommandLineError> {
        let mut text = "`".to_owned();
        loop {
            match self.chars.next() {
                Some('`') => break,
                Some('\\') => text.extend(['\\'].into_iter().chain(self.chars.next())),
                Some(c) => text.push(c),
                None => return Err(unbalanced("`")),
            }
        }
        text.push('`');
        self.word().text.push_str(&text);
        self.needs_shell(Trigger::Expansion(text));
        Ok(())
    }

    fn operator(&mut self, c: char) {
        let mut text = c.to_string();
        text.extend(self.chars.next_if_eq(&c));
        self.control(Trigger::Operator(text));
    }

    /// What separates commands: the next word begins one.
    fn control(&mut self, trigger: Trigger) {
        self.end_word();
        // Between lines that are empty or comments nothing is separated.
        if trigger == Trigger::Lines && self.words.is_empty() {
            return;
        }
        self.needs_shell(trigger);
        self.is_simple = false;
        self.at_command = true;
        self.in_exec = false;
    }

    /// A redirection needs a shell, but the command around it stays one command.
    fn redirection(&mut self, c: char) {
        // A number before it belongs to it; `2>&1` names two files and separates nothing.
        if !self.word.as_ref().is_some_and(|word| word.text.bytes().all(|b| b.is_ascii_digit())) {
            self.end_word();
        }
        let mut text = self.word.take().map(|word| word.text).unwrap_or_default();
        text.push(c);
        while let Some(c) = self.chars.next_if(|&c| matches!(c, '<' | '>' | '&' | '|' | '-')) {
            text.push(c);
        }
        self.needs_shell(Trigger::Operator(text));
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        // A plain file name is no argument; one with quotes or expansions is read on as a word.
        while self.chars.next_if(|&c| !is_blank(c) && !"&|;<>()'\"\\$`".contains(c)).is_some() {}
    }

    fn parenthesis(&mut self, c: char) {
        if c == '(' && self.word.is_none() && self.at_command {
            self.is_simple = false;
            self.needs_shell(Trigger::Subshell);
            return;
        }
        // The end of a subshell or of a pattern of `case`.
        if c == ')' && self.word.as_ref().is_none_or(|word| !word.text.contains('(')) && !self.is_simple {
            self.end_word();
            return;
        }
        let is_function = c == '(' && self.begins_function();
        let word = self.word();
        word.text.push(c);
        word.has_parenthesis |= c == '(' && !is_function;
    }

    /// Tells whether `) {` follows: then the parentheses are those of a function.
    fn begins_function(&self) -> bool {
        let mut rest = self.chars.clone();
        rest.next() == Some(')') && rest.find(|&c| c != ' ') == Some('{')
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if word.has_glob {
            self.globs.push(word.text.clone());
        }
        if word.has_parenthesis {
            self.parenthesis.get_or_insert_with(|| word.text.clone());
        }
        if self.at_command {
            self.first_word(&word);
        }
        self.words.push(word.text);
    }

    fn first_word(&mut self, word: &Word) {
        if let Some(name) = assigned(word) {
            self.needs_shell(Trigger::Assignment(name.to_owned()));
            self.is_simple = false;
            return;
        }
        let text = word.text.as_str();
        let is_word_of = |words: &[&str]| word.quoted_from.is_none() && words.contains(&text);
        let is_builtin = is_word_of(&BUILTINS);
        if is_builtin {
            self.needs_shell(Trigger::Builtin(word.text.clone()));
            self.is_simple = false;
        }
        if is_builtin && text == "exec" {
            self.in_exec = true;
            return;
        }
        let is_before = is_word_of(&BEFORE_COMMANDS);
        self.at_command = is_before;
        if !is_builtin && !is_before {
            self.programs.push(word.text.clone());
        }
    }
}

/// Returns the name that a word like `NAME=value` sets; a name that is quoted in part sets nothing.
fn assigned(word: &Word) -> Option<&str> {
    let (name, _) = word.text.split_once('=')?;
    if word.quoted_from.is_some_and(|from| from <= name.len()) {
        return None;
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

fn unbalanced(opened: &str) -> CommandLineError {
    CommandLineError::Unbalanced { opened: opened.to_owned() }
}
