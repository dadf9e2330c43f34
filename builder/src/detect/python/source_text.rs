//! A careful look at the text of a Python module: its statements, strings and comments told apart, nothing run.

/// A logical line of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// How far it is indented.
    pub(super) indent: usize,
    /// Its text on one line, without comments.
    pub(super) text: String,
}

/// A call whose result gets a name: `app = Flask(`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned<'s> {
    /// The name.
    pub(super) name: &'s str,
    /// What is called, without the module in front of it.
    pub(super) callee: &'s str,
}

impl Statement {
    /// The call that this assigns to a name, at the top of the module.
    pub(super) fn assigned_call(&self) -> Option<Assigned<'_>> {
        let (name, value) = self.assignment()?;
        let end = value.find(|c: char| !is_word(c) && c != '.')?;
        let (path, rest) = value.split_at(end);
        let callee = path.rsplit('.').next().unwrap_or(path);
        (rest.trim_start().starts_with('(') && !callee.is_empty()).then_some(Assigned { name, callee })
    }

    /// The string that this assigns to a name, at the top of the module.
    pub(super) fn assigned_string(&self, wanted: &str) -> Option<&str> {
        let (name, value) = self.assignment()?;
        (name == wanted).then(|| quoted(value)).flatten()
    }

    /// Whether this assigns anything to a name, at the top of the module.
    pub(super) fn assigns(&self, wanted: &str) -> bool {
        self.assignment().is_some_and(|(name, _)| name == wanted)
    }

    /// The name of a function that is defined at the top of the module and can be called without arguments.
    pub(super) fn factory(&self) -> Option<&str> {
        let rest = if self.indent == 0 { self.text.strip_prefix("def ")? } else { return None };
        let (name, rest) = rest.split_once('(')?;
        let parameters = rest.rsplit_once(')').map_or(rest, |(parameters, _)| parameters);
        let is_needed = |parameter: &str| {
            !parameter.is_empty() && !parameter.contains('=') && !parameter.starts_with('*')
        };
        (!split_outside_brackets(parameters).iter().any(|parameter| is_needed(parameter.trim())))
            .then(|| name.trim())
    }

    fn assignment(&self) -> Option<(&str, &str)> {
        if self.indent > 0 {
            return None;
        }
        let end = self.text.find(|c: char| !is_word(c))?;
        let (name, rest) = self.text.split_at(end);
        let rest = rest.trim_start();
        // The annotation of a variable ends at its value.
        let value = match rest.strip_prefix(':') {
            Some(annotated) => annotated.split_once('=')?.1,
            None => rest.strip_prefix('=')?,
        };
        (!name.is_empty() && !value.starts_with('=')).then(|| (name, value.trim_start()))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The content of a plain string at the start of a text.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (content, _) = text[1..].split_once(quote)?;
    (!content.contains('\\')).then_some(content)
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The statements of a module. Lines inside brackets and strings belong to the statement that they began in.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut scanner = Scanner { rest: text, line: 1, found: Vec::new(), current: None, depth: 0 };
    while let Some(c) = scanner.rest.chars().next() {
        scanner.step(c);
    }
    scanner.finish();
    scanner.found
}

struct Scanner<'t> {
    rest: &'t str,
    line: usize,
    found: Vec<Statement>,
    current: Option<Statement>,
    depth: usize,
}

impl Scanner<'_> {
    fn step(&mut self, c: char) {
        match c {
            '#' => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                return;
            }
            '"' | '\'' => return self.string(c),
            '\\' if self.rest[1..].trim_start_matches('\r').starts_with('\n') => {
                self.line += 1;
                let end = self.rest.find('\n').unwrap_or(0);
                self.rest = &self.rest[end + 1..];
                return;
            }
            '\n' => {
                self.line += 1;
                if self.depth == 0 {
                    self.finish();
                } else {
                    self.push(' ');
                }
            }
            ';' if self.depth == 0 => {
                let indent = self.current.as_ref().map_or(0, |statement| statement.indent);
                self.finish();
                self.current = Some(Statement { line: self.line, indent, text: String::new() });
                self.rest = self.rest[1..].trim_start_matches([' ', '\t']);
                return;
            }
            ' ' | '\t' | '\r' | '\u{c}' => self.space(c),
            c => {
                match c {
                    '(' | '[' | '{' => self.depth += 1,
                    ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.push(c);
            }
        }
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn space(&mut self, c: char) {
        match &mut self.current {
            None => self.current = Some(Statement { line: self.line, indent: 1, text: String::new() }),
            Some(statement) if statement.text.is_empty() => statement.indent += usize::from(c != '\r'),
            Some(statement) if !statement.text.ends_with(' ') => statement.text.push(' '),
            Some(_) => {}
        }
    }

    fn push(&mut self, c: char) {
        let line = self.line;
        let statement =
            self.current.get_or_insert_with(|| Statement { line, indent: 0, text: String::new() });
        if statement.text.is_empty() {
            statement.line = line;
        }
        statement.text.push(c);
    }

    /// Passes over a string. One of three quotes, which may hold anything, is kept without its content.
    fn string(&mut self, quote: char) {
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let (opening, is_long) = if self.rest.starts_with(&triple) { (3, true) } else { (1, false) };
        let mut length = opening;
        let bytes = self.rest.as_bytes();
        while length < bytes.len() {
            if bytes[length] == b'\\' {
                length += 2;
            } else if is_long && self.rest.as_bytes()[length..].starts_with(triple.as_bytes()) {
                length += 3;
                break;
            } else if !is_long && (bytes[length] == quote as u8 || bytes[length] == b'\n') {
                length += usize::from(bytes[length] != b'\n');
                break;
            } else {
                length += 1;
            }
        }
        let mut end = length.min(bytes.len());
        while !self.rest.is_char_boundary(end) {
            end += 1;
        }
        let (string, rest) = self.rest.split_at(end);
        let shown = if is_long { "''" } else { string };
        shown.chars().for_each(|c| self.push(c));
        self.line += string.matches('\n').count();
        self.rest = rest;
    }

    fn finish(&mut self) {
        if let Some(mut statement) = self.current.take().filter(|statement| !statement.text.trim().is_empty())
        {
            statement.text.truncate(statement.text.trim_end().len());
            self.found.push(statement);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, usize, String)> {
        statements(text).into_iter().map(|found| (found.line, found.indent, found.text)).collect()
    }

    fn only(text: &str) -> Statement {
        let found = statements(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn statements_are_told_apart_from_strings_and_comments() {
        let text = "\"\"\"app = Flask(__name__)\n\"\"\"\n# app = Flask(1)\nx = 'a # b'  # c\r\ny = (1,\n     2)\nif y:\n    z = \"\\\"#\"; w = 2\n\
                    t = '''a\n'b' ''' + \\\n  u\n";
        assert_eq!(
            texts(text),
            [
                (1, 0, "''".to_owned()),
                (4, 0, "x = 'a # b'".to_owned()),
                (5, 0, "y = (1, 2)".to_owned()),
                (7, 0, "if y:".to_owned()),
                (8, 4, "z = \"\\\"#\"".to_owned()),
                (8, 4, "w = 2".to_owned()),
                (9, 0, "t = '' + u".to_owned()),
            ]
        );
    }

    #[test]
    fn a_call_that_gets_a_name_is_found() {
        for (text, name, callee) in [
            ("app = Flask(__name__)", "app", "Flask"),
            ("application=flask.Flask(\n    __name__,\n)", "application", "Flask"),
            ("api: FastAPI = FastAPI()", "api", "FastAPI"),
            ("app = create_app ( 'x' )", "app", "create_app"),
        ] {
            assert_eq!(only(text).assigned_call(), Some(Assigned { name, callee }), "{text}");
        }
        for text in [
            "app == Flask()",
            "  app = Flask()",
            "app.x = Flask()",
            "app = Flask",
            "a, b = Flask()",
            "app += f()",
            "return f()",
        ] {
            assert_eq!(only(text).assigned_call(), None, "{text}");
        }
    }

    #[test]
    fn a_string_that_gets_a_name_is_found() {
        assert_eq!(only("X = 'a.b'  # c").assigned_string("X"), Some("a.b"));
        assert_eq!(only("X: str = \"a\"").assigned_string("X"), Some("a"));
        for text in ["Y = 'a'", "X = f('a')", "X = BASE / 'a'", "X = 'a\\n'", "X = ('a')"] {
            assert_eq!(only(text).assigned_string("X"), None, "{text}");
        }
        assert!(only("STATIC_ROOT = BASE / 'static'").assigns("STATIC_ROOT"));
        assert!(!only("    STATIC_ROOT = 1").assigns("STATIC_ROOT"));
    }

    #[test]
    fn a_function_that_needs_no_argument_is_a_factory() {
        for text in [
            "def create_app():",
            "def create_app(config=None, *args, **kw) -> Flask:",
            "def create_app(a: dict[str, int] = {}):",
        ] {
            assert_eq!(only(text).factory(), Some("create_app"), "{text}");
        }
        for text in [
            "def create_app(config):",
            "def create_app(a=1, *, b):",
            "  def create_app():",
            "async def create_app():",
            "define(x)",
        ] {
            assert_eq!(only(text).factory(), None, "{text}");
        }
    }

    #[test]
    fn broken_text_ends() {
        for text in ["'", "\"\"\"", "x = '\\", "é = 'é\\é", "(((", "\\", "a\\\nb", "'''\\'''", ")]}"] {
            statements(text);
        }
    }
}
