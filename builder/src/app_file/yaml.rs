//! From the text to the tree: YAML's events, under limits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks, StrInput, Tag};

use super::Located;
use super::diagnostic::{Position, Report, Span};
use super::node::{Node, Value};
use super::rule::Rule;

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// How deeply lists and maps may be nested.
const MAX_DEPTH: usize = 32;
/// How many nodes there may be once aliases are expanded.
const MAX_NODES: usize = 20_000;

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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parser = Parser::new_from_str(text);
    let mut loader = Loader { parser, report, anchors: BTreeMap::new(), nodes: 0, next: None };
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
    report: &'r mut Report,
    /// Nodes by anchor; one that is still open holds none.
    anchors: BTreeMap<usize, Option<Node>>,
    nodes: usize,
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
                (Event::StreamEnd, at) => {
                    return Err(self.stop(Rule::Empty, at, "the file is empty"));
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
            return Err(self.stop(
                Rule::Limit,
                at,
                format!("lists and maps are nested more than {MAX_DEPTH} deep"),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, at: Span, depth: usize) -> Read<Node> {
        self.count(at, depth, 1)?;
        match event {
            Event::Alias(anchor) => self.alias(anchor, at, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag, at);
                Ok(self.anchored(anchor, scalar(&text, style, at)))
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
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, at: Span, depth: usize) -> Read<Node> {
        let mut entries: Vec<(Located<String>, Node)> = Vec::new();
        let mut seen = BTreeMap::new();
        loop {
            let key = match self.event()? {
                (Event::MappingEnd, _) => return Ok(Node { at, value: Value::Map(entries) }),
                (event, at) => self.node(event, at, depth + 1)?,
            };
            let (event, value_at) = self.event()?;
            let value = self.node(event, value_at, depth + 1)?;
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
        match self.anchors.get(&anchor).cloned().flatten() {
            Some(node) => {
                let (nodes, deep) = size(&node);
                self.count(at, depth + deep, nodes)?;
                Ok(node)
            }
            None => Err(self.stop(Rule::Alias, at, "this alias lies inside of what it stands for")),
        }
    }

    fn refuse_tag(&mut self, tag: Option<Cow<'a, Tag>>, at: Span) {
        if let Some(tag) = tag {
            let hint = "remove the tag, or put the text in quotes if it is part of the value";
            self.report.error(Rule::Tag, at, format!("tags such as `{tag}` are not supported")).hint(hint);
        }
    }
}

/// Counts the nodes of a tree and how deep it goes.
fn size(node: &Node) -> (usize, usize) {
    let children: Vec<(usize, usize)> = match &node.value {
        Value::Empty | Value::Text(_) => return (1, 0),
        Value::List(items) => items.iter().map(size).collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| size(value)).collect(),
    };
    let nodes = children.iter().map(|child| child.0 + 1).sum::<usize>() + 1;
    (nodes, children.iter().map(|child| child.1 + 1).max().unwrap_or(0))
}

fn scalar(text: &str, style: ScalarStyle, at: Span) -> Node {
    // The parser writes `~` for a node that is not there; one that is there has a length.
    let is_absent = style == ScalarStyle::Plain && (text.is_empty() || (text == "~" && at.start == at.end));
    Node { at, value: if is_absent { Value::Empty } else { Value::Text(text.to_owned()) } }
}

fn span(marks: Marks) -> Span {
    let position =
        |mark: saphyr_parser::Marker| Position { line: mark.line().max(1), column: mark.col() + 1 };
    Span { start: position(marks.start), end: position(marks.end) }
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
    let hint = if info.contains("mapping values") || info.contains("':'") {
        "put a value that contains `: ` or ends with `:` in quotes, and check the indentation"
    } else {
        "check the indentation, and put a value that begins with a special character in quotes"
    };
    report
        .error(Rule::Syntax, Span::at(line, mark.col() + 1), format!("this is not valid YAML: {info}"))
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
