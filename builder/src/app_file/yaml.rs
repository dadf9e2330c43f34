//! From the text to the tree: YAML's events, under limits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, StrInput, Tag};

use super::Located;
use super::diagnostic::{Position, Report, Span};
use super::lines::Lines;
use super::node::{Node, Value};
use super::rule::Rule;

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// How deeply lists and maps may be nested.
const MAX_DEPTH: usize = 32;
/// How many nodes there may be once aliases are expanded.
const MAX_NODES: usize = 20_000;
/// How many bytes of text aliases may stand for.
const MAX_ALIASED: usize = 1024 * 1024;

/// Reads the text as one document; what makes that impossible is reported.
pub(super) fn load(text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > MAX_BYTES {
        report.error(
            Rule::Limit,
            Span::at(1, 1),
            format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len()),
        );
        return None;
    }
    let lines = Lines::of(text);
    if let Some((c, at)) = lines.control_character() {
        let message = format!("the control character U+{:04X} must not stand in the file", u32::from(c));
        report
            .error(Rule::Syntax, at, message)
            .hint("in a text in double quotes it can be written as `\\xNN`");
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parser = Parser::new_from_str(text);
    let mut loader =
        Loader { parser, lines, report, anchors: BTreeMap::new(), nodes: 0, aliased: 0, next: None };
    match loader.document() {
        Ok(node) => Some(node),
        Err(Stop::Reported) => None,
        Err(Stop::Scan(error)) => {
            report_scan_error(&error, text, report);
            None
        }
    }
}

/// Why reading stopped.
enum Stop {
    Scan(ScanError),
    Reported,
}

type Read<T> = Result<T, Stop>;

struct Loader<'a, 'r> {
    parser: Parser<'a, StrInput<'a>>,
    lines: Lines<'a>,
    report: &'r mut Report,
    /// Nodes by anchor; one that is still open holds none.
    anchors: BTreeMap<usize, Option<Node>>,
    nodes: usize,
    /// The bytes that aliases stood for so far.
    aliased: usize,
    /// An event that was looked at and put back.
    next: Option<(Event<'a>, Span)>,
}

impl<'a> Loader<'a, '_> {
    fn event(&mut self) -> Read<(Event<'a>, Span)> {
        if let Some(event) = self.next.take() {
            return Ok(event);
        }
        match self.parser.next_event() {
            Some(Ok((event, marks))) => Ok((event, span(marks))),
            Some(Err(error)) => Err(Stop::Scan(error)),
            None => Ok((Event::StreamEnd, Span::at(1, 1))),
        }
    }

    fn document(&mut self) -> Read<Node> {
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => {
                    return Err(self.stop(Rule::Empty, Span::at(1, 1), "the file is empty"));
                }
                (Event::DocumentStart(_), _) => break,
                _ => {}
            }
        }
        let (event, at) = self.event()?;
        let node = self.node(event, at, 1)?;
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => return Ok(node),
                (Event::DocumentStart(_), at) => {
                    self.report
                        .error(Rule::SecondDocument, at, "a second document begins here")
                        .hint("one file is one document");
                    return Err(Stop::Reported);
                }
                _ => {}
            }
        }
    }

    fn stop(&mut self, rule: Rule, at: Span, message: impl Into<String>) -> Stop {
        self.report.error(rule, at, message);
        Stop::Reported
    }

    fn count(&mut self, at: Span, depth: usize, nodes: usize) -> Read<()> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(self.stop(Rule::Limit, at, format!("the file has more than {MAX_NODES} nodes")));
        }
        if depth > MAX_DEPTH {
            return Err(self.stop(Rule::Limit, at, too_deep()));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, at: Span, depth: usize) -> Read<Node> {
        self.count(at, depth, 1)?;
        match event {
            Event::Alias(anchor) => self.alias(anchor, at, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag, at);
                Ok(self.anchored(anchor, scalar(&text, style, at, &self.lines)))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag, at);
                self.open(anchor);
                let node = self.list(at, depth)?;
                Ok(self.anchored(anchor, node))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag, at);
                self.open(anchor);
                let node = self.map(at, depth)?;
                Ok(self.anchored(anchor, node))
            }
            _ => Ok(Node { at, value: Value::Empty }),
        }
    }

    fn list(&mut self, at: Span, depth: usize) -> Read<Node> {
        let mut items = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(Node { at, value: Value::List(items) }),
                (event, at) => {
                    let mut item = self.node(event, at, depth + 1)?;
                    // What is not there stands where its dash is.
                    if item.value == Value::Empty {
                        item.at = self.lines.dash_before(at.start).unwrap_or(at);
                    }
                    items.push(item);
                }
            }
        }
    }

    fn map(&mut self, at: Span, depth: usize) -> Read<Node> {
        let mut entries: Vec<(Located<String>, Node)> = Vec::new();
        let mut seen = BTreeMap::new();
        let mut is_of_template = false;
        loop {
            let key = match self.event()? {
                // It is reported already; whoever looks for a text finds one.
                (Event::MappingEnd, _) if is_of_template => {
                    return Ok(Node { at, value: Value::Text("{{}}".to_owned()) });
                }
                (Event::MappingEnd, _) => return Ok(Node { at, value: Value::Map(entries) }),
                (event, at) => self.node(event, at, depth + 1)?,
            };
            let (event, value_at) = self.event()?;
            let value = self.node(event, value_at, depth + 1)?;
            if is_template(&key, &value) {
                let hint = "put the whole value in quotes: `'{{…}}'`";
                self.report.error(Rule::KeyForm, at, "YAML reads double braces as a map").hint(hint);
                is_of_template = true;
                continue;
            }
            let Some(key) = self.key(key) else { continue };
            if let Some(first) = seen.insert(key.value.clone(), key.at.start) {
                self.report.error(
                    Rule::DuplicateKey,
                    key.at,
                    format!("`{}` is given twice, first at {first}", key.value),
                );
                continue;
            }
            entries.push((key, value));
        }
    }

    fn key(&mut self, node: Node) -> Option<Located<String>> {
        match node.value {
            Value::Text(text) if text == "<<" => {
                self.report
                    .error(Rule::MergeKey, node.at, "merge keys (`<<`) are not supported")
                    .hint("write the keys out");
                None
            }
            Value::Text(value) => Some(Located { value, at: node.at }),
            Value::Empty => {
                self.report.error(Rule::KeyForm, node.at, "a key is missing here");
                None
            }
            Value::List(_) | Value::Map(_) => {
                let hint = "if this is one text, put it in quotes";
                self.report
                    .error(Rule::KeyForm, node.at, format!("a key must be text, not {}", node.kind()))
                    .hint(hint);
                None
            }
        }
    }

    fn open(&mut self, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
    }

    fn anchored(&mut self, anchor: usize, node: Node) -> Node {
        if anchor > 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        node
    }

    fn alias(&mut self, anchor: usize, at: Span, depth: usize) -> Read<Node> {
        let Some(size) = self.anchors.get(&anchor).and_then(Option::as_ref).map(size) else {
            return Err(self.stop(Rule::Alias, at, "this alias lies inside of what it stands for"));
        };
        self.count(at, depth + size.depth, size.nodes)?;
        self.aliased += size.bytes;
        if self.aliased > MAX_ALIASED {
            let message = format!("the aliases of the file stand for more than {MAX_ALIASED} bytes");
            return Err(self.stop(Rule::Limit, at, message));
        }
        let node = self.anchors.get(&anchor).cloned().flatten();
        Ok(node.unwrap_or(Node { at, value: Value::Empty }))
    }

    fn refuse_tag(&mut self, tag: Option<Cow<'a, Tag>>, at: Span) {
        let Some(tag) = tag else { return };
        // The parser tells where the value begins that the tag belongs to, and the tag in its long form.
        let (written, at) = match self.lines.tag_before(at.start) {
            Some((written, at)) => (written.to_owned(), at),
            None => (tag.to_string(), at),
        };
        let hint = "remove the tag, or put the text in quotes if it is part of the value";
        self.report.error(Rule::Tag, at, format!("tags such as `{written}` are not supported")).hint(hint);
    }
}

/// What a tree takes.
struct Size {
    nodes: usize,
    depth: usize,
    bytes: usize,
}

/// Measures a tree: its nodes, the keys among them, how deep it goes, and the bytes of its texts.
fn size(node: &Node) -> Size {
    let children: Vec<(usize, Size)> = match &node.value {
        Value::Empty => return Size { nodes: 1, depth: 0, bytes: 0 },
        Value::Text(text) => return Size { nodes: 1, depth: 0, bytes: text.len() },
        Value::List(items) => items.iter().map(|item| (0, size(item))).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.value.len(), size(value))).collect(),
    };
    Size {
        nodes: children.iter().map(|(_, child)| child.nodes + 1).sum::<usize>() + 1,
        depth: children.iter().map(|(_, child)| child.depth + 1).max().unwrap_or(0),
        bytes: children.iter().map(|(key, child)| key + child.bytes).sum(),
    }
}

fn scalar(text: &str, style: ScalarStyle, at: Span, lines: &Lines<'_>) -> Node {
    // The parser writes `~` for a node that is not there, at the place of what follows.
    let is_absent = style == ScalarStyle::Plain
        && (text.is_empty() || (text == "~" && lines.character(at.start) != Some('~')));
    Node { at, value: if is_absent { Value::Empty } else { Value::Text(text.to_owned()) } }
}

fn too_deep() -> String {
    format!("lists and maps are nested more than {MAX_DEPTH} deep")
}

fn span(marks: Marks) -> Span {
    let position =
        |mark: saphyr_parser::Marker| Position { line: mark.line().max(1), column: mark.col() + 1 };
    Span { start: position(marks.start), end: position(marks.end) }
}

/// Tells whether an entry of a map is what YAML makes of a text such as `{{resolve:…}}`.
fn is_template(key: &Node, value: &Node) -> bool {
    matches!(key.value, Value::Map(_)) && value.value == Value::Empty
}

fn report_scan_error(error: &ScanError, text: &str, report: &mut Report) {
    let mark = error.marker();
    let line = mark.line().max(1);
    if let Some((line, column)) = tab_before(text, line) {
        let hint = "indent with spaces: YAML does not allow tabs there";
        report.error(Rule::TabIndentation, Span::at(line, column), "a tab is used as indentation").hint(hint);
        return;
    }
    let info = error.info();
    if info.contains("recursion limit") {
        report.error(Rule::Limit, Span::at(line, mark.col() + 1), too_deep());
        return;
    }
    let lines = Lines::of(text);
    if let Some(at) = lines.merge_mark() {
        let hint = "take what is right of the two versions, and remove the marks";
        report.error(Rule::Syntax, at, "this is not valid YAML: a merge left its marks here").hint(hint);
        return;
    }
    // The parser waits for the colon of a key until it sees the next line.
    if info.contains("simple key expect") && !(info.ends_with("expected") && mark.col() > 0) {
        let at = lines.written_before(line).unwrap_or(Span::at(line, mark.col() + 1));
        return neither_key_nor_item(at, report);
    }
    // A line without a colon goes on in the next one, whose colon is then one too many.
    let before = lines.written_before(line).filter(|_| info.contains("mapping values"));
    if let Some(at) = before.filter(|before| lines.lacks_colon(*before, line)) {
        return neither_key_nor_item(at, report);
    }
    let hint = if info.contains("mapping values") || info.contains("':'") {
        "put a value that contains `: ` or ends with `:` in quotes, and check the indentation"
    } else {
        "check the indentation, and put a value that begins with a special character in quotes"
    };
    report
        .error(Rule::Syntax, Span::at(line, mark.col() + 1), format!("this is not valid YAML: {info}"))
        .hint(hint);
}

fn neither_key_nor_item(at: Span, report: &mut Report) {
    let hint = "write `key: value`, with a space after the colon, and check the indentation";
    report
        .error(
            Rule::Syntax,
            at,
            "this is not valid YAML: it is neither a key with a value nor an item of a list",
        )
        .hint(hint);
}

/// Finds a tab in the indentation of the line at fault or of the one before it.
fn tab_before(text: &str, line: usize) -> Option<(usize, usize)> {
    let mut lines = text.lines().enumerate().skip(line.saturating_sub(2)).take(2);
    lines.find_map(|(index, line)| {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        Some((index + 1, line[..indentation].find('\t')? + 1))
    })
}
