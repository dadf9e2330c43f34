//! Values that stand literally in a source file of JavaScript or TypeScript.

/// The text that a key of an object is given: `outDir: 'build'`. Lines that are comments do not count.
pub(super) fn literal(text: &str, key: &str) -> Option<String> {
    let code = text.lines().filter(|line| !is_comment(line));
    code.into_iter().find_map(|line| literal_in(line, key))
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with('*') || line.starts_with("/*")
}

fn literal_in(line: &str, key: &str) -> Option<String> {
    for (at, _) in line.match_indices(key) {
        let before = line[..at].chars().next_back();
        let rest = line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        let is_whole = !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'));
        if let (true, Some(value)) = (is_whole, rest.strip_prefix(':')) {
            let value = value.trim_start();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
            return value[1..].split_once(quote).map(|(text, _)| text.to_owned());
        }
    }
    None
}

/// The port that a program listens on, where its source says a number and never asks for a variable.
pub(super) fn port(text: &str) -> Option<(u16, usize)> {
    if text.contains(".PORT") || text.contains("'PORT'") || text.contains("\"PORT\"") {
        return None;
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !is_comment(line)) {
        let Some((_, after)) = line.split_once("listen(") else { continue };
        let argument = after.trim_start().trim_start_matches("{ port:").trim_start();
        let argument: String = argument.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let value = if argument.starts_with(|c: char| c.is_ascii_digit()) {
            Some(argument)
        } else {
            constant(text, &argument)
        };
        if let Some(port) = value.and_then(|value| value.parse().ok()).filter(|port| *port != 0) {
            return Some((port, number + 1));
        }
    }
    None
}

/// The digits that a name stands for: `const port = 3000`.
fn constant(text: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    text.lines().filter(|line| !is_comment(line)).find_map(|line| {
        let rest = ["const ", "let ", "var "].iter().find_map(|word| line.trim_start().strip_prefix(word))?;
        let (left, right) = rest.split_once('=')?;
        let value = right.trim().trim_end_matches(';').trim_end();
        let is_number = !value.is_empty() && value.chars().all(|c| c.is_ascii_digit());
        (left.split(':').next()?.trim() == name && is_number).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_key_is_found_where_it_is_literal() {
        assert_eq!(literal("export default {\n  outDir : \"a/b\",\n}", "outDir").unwrap(), "a/b");
        assert_eq!(literal("{ \"outDir\": \"./x\" }", "outDir").unwrap(), "./x");
        assert_eq!(literal("build: { outDir: 'y' } // outDir: 'z'", "outDir").unwrap(), "y");
        for text in [
            "// output: 'x'",
            "outputs: 'x'",
            "my_output: 'x'",
            "config.output: 'x'",
            "output: mode",
            "output = 'x'",
            "",
        ] {
            assert_eq!(literal(text, "output"), None, "{text}");
        }
    }

    #[test]
    fn a_port_counts_only_where_no_variable_is_asked_for() {
        for (text, expected) in [
            ("app.listen(3000)", Some((3000, 1))),
            ("\nserver.listen({ port: 4000, host }, () => {})", Some((4000, 2))),
            ("const port = 5000;\napp.listen(port, () => {})", Some((5000, 2))),
            ("const port: number = 5000\nawait app.listen(port)", Some((5000, 2))),
            ("app.listen(process.env.PORT || 3000)", None),
            ("const { env } = process; app.listen(env['PORT'] ?? 3000)", None),
            ("app.listen(config.port)", None),
            ("// app.listen(3000)", None),
            ("app.listen(0)", None),
            ("app.listen(70000)", None),
        ] {
            assert_eq!(port(text), expected, "{text}");
        }
    }
}
