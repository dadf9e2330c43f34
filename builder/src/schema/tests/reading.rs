//! A file as an editor's reader hands it to a schema: plain scalars become what YAML 1.2's core schema makes of them.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value};

/// Reads a file that is valid YAML.
pub(super) fn as_an_editor_reads(text: &str) -> Value {
    read(text).unwrap_or_else(|| panic!("{text}"))
}

/// Reads a file; none if it is no YAML that editors hand on.
pub(super) fn read(text: &str) -> Option<Value> {
    let parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    Reader { parser, anchors: BTreeMap::new() }.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Value>,
}

impl<'a> Reader<'a> {
    fn event(&mut self) -> Option<Event<'a>> {
        Some(self.parser.next_event()?.ok()?.0)
    }

    fn document(&mut self) -> Option<Value> {
        loop {
            match self.event()? {
                Event::DocumentStart(_) => break,
                Event::StreamEnd => return Some(Value::Null),
                _ => {}
            }
        }
        let event = self.event()?;
        let value = self.value(event)?;
        loop {
            match self.event()? {
                Event::StreamEnd => return Some(value),
                Event::DocumentStart(_) => return None,
                _ => {}
            }
        }
    }

    fn value(&mut self, event: Event<'a>) -> Option<Value> {
        let (anchor, value) = match event {
            Event::Alias(anchor) => return self.anchors.get(&anchor).cloned(),
            Event::Scalar(text, style, anchor, None) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.value(event)?),
                    }
                }
                (anchor, Value::Array(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Value::Object(self.entries()?)),
            _ => return None,
        };
        self.anchors.insert(anchor, value.clone());
        Some(value)
    }

    fn entries(&mut self) -> Option<Map<String, Value>> {
        let mut entries = Map::new();
        loop {
            let key = match self.event()? {
                Event::MappingEnd => return Some(entries),
                event => self.value(event)?,
            };
            let event = self.event()?;
            let value = self.value(event)?;
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            // An editor's reader reports a key that is given twice.
            if entries.insert(key, value).is_some() {
                return None;
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let integer = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => i64::from_str_radix(digits, 16).ok(),
        (_, Some(digits)) => i64::from_str_radix(digits, 8).ok(),
        _ => text.parse::<i64>().ok(),
    };
    let is_decimal = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let decimal = || text.parse::<f64>().ok().filter(|_| is_decimal).and_then(Number::from_f64);
    integer.map(Number::from).or_else(decimal).map(Value::Number)
}

#[test]
fn plain_scalars_become_numbers_and_switches_and_quoted_ones_do_not() {
    let value = as_an_editor_reads("[1.0, 3.10, 0x10, False, ~, '1', \"true\", yes, 1.2.3, a, 007, 1e3]");
    let expected =
        serde_json::json!([1.0, 3.1, 16, false, null, "1", "true", "yes", "1.2.3", "a", 7, 1000.0]);
    assert_eq!(value, expected);
}
