//! What `setup.cfg` and `setup.py` say of an app's dependencies, as far as their text tells.

use crate::app_file::Position;
use crate::detect::files::{Files, Text};
use crate::detect::{DetectError, Finding};

use super::names::Dependencies;

/// The file that describes a package, if there is one. Many a `setup.cfg` has nothing but the settings of tools.
pub(super) fn package(files: &Files<'_>) -> Result<Option<&'static str>, DetectError> {
    if files.has("setup.py") {
        return Ok(Some("setup.py"));
    }
    let text = files.text("setup.cfg")?;
    let is_section = |line: &str| matches!(line.trim_end(), "[metadata]" | "[options]");
    Ok(text.is_some_and(|text| text.text.lines().any(is_section)).then_some("setup.cfg"))
}

/// Reads both files. `setup.py` is a program: only a list that is written out in it is seen.
pub(super) fn read(files: &Files<'_>) -> Result<Dependencies, DetectError> {
    let mut found = Dependencies::default();
    if let Some(text) = files.text("setup.cfg")? {
        of_cfg(&text, &mut found);
    }
    if let Some(text) = files.text("setup.py")? {
        of_py(&text, &mut found);
    }
    Ok(found)
}

/// The indented lines below `install_requires =` of the section `[options]`.
fn of_cfg(text: &Text, found: &mut Dependencies) {
    let (mut is_options, mut is_listed) = (false, false);
    for (number, line) in text.text.lines().enumerate() {
        let at = Finding::new(&text.file, "").at(Position { line: number + 1, column: 1 });
        let is_indented = line.starts_with([' ', '\t']);
        if line.starts_with('[') {
            is_options = line.trim_end() == "[options]";
            is_listed = false;
        } else if is_indented && is_listed {
            found.add(line.trim(), &at);
        } else if !is_indented && !line.trim().is_empty() {
            let value = line.split_once('=').filter(|(key, _)| key.trim() == "install_requires");
            is_listed = is_options && value.is_some();
            if let Some((_, requirement)) = value.filter(|_| is_listed) {
                found.add(requirement.trim(), &at);
            }
        }
    }
}

/// The strings of the list after `install_requires=`.
fn of_py(text: &Text, found: &mut Dependencies) {
    let Some((before, rest)) = text.text.split_once("install_requires") else { return };
    let Some(list) = rest.trim_start().strip_prefix('=').and_then(|rest| rest.trim_start().strip_prefix('['))
    else {
        return;
    };
    let mut line = before.matches('\n').count() + 1;
    let mut rest = list;
    while let Some(c) = rest.chars().next() {
        match c {
            ']' => break,
            '#' => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
            '"' | '\'' => {
                let Some((requirement, after)) = rest[1..].split_once(c) else { break };
                found.add(requirement, &Finding::new(&text.file, "").at(Position { line, column: 1 }));
                rest = after;
            }
            c => {
                line += usize::from(c == '\n');
                rest = &rest[c.len_utf8()..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn place(name: &str, text: &str, package: &str) -> Option<String> {
        let found = read(&Files::new(&tree(&[(name, text)]), None)).unwrap();
        found.get(package).map(ToString::to_string)
    }

    #[test]
    fn the_list_of_setup_cfg_is_read() {
        let text = "[metadata]\nname = x\n[options]\npackages = find:\ninstall_requires =\n    Flask>=3\n    gunicorn\n\
                    python_requires = >=3.9\n[options.extras_require]\ninstall_requires =\n    pytest\n";
        let expected = "setup.cfg:6:1: `flask` is a dependency";
        assert_eq!(place("setup.cfg", text, "flask").as_deref(), Some(expected));
        assert!(place("setup.cfg", text, "gunicorn").is_some());
        assert!(place("setup.cfg", text, "pytest").is_none());
    }

    #[test]
    fn settings_of_tools_are_no_package() {
        let of = |name, text| package(&Files::new(&tree(&[(name, text)]), None)).unwrap();
        assert_eq!(of("setup.cfg", "[flake8]\nmax-line-length = 100\n"), None);
        assert_eq!(of("setup.cfg", "[flake8]\n[metadata]\nname = x\n"), Some("setup.cfg"));
        assert_eq!(of("setup.py", ""), Some("setup.py"));
        assert_eq!(of("other.py", ""), None);
    }

    #[test]
    fn a_list_that_is_written_out_in_setup_py_is_read() {
        let text = "from setuptools import setup\nsetup(\n    name='x',\n    install_requires=[\n        'Flask>=3',  # web\n        \
                    \"gunicorn\", 'rq',\n        'fastapi[standard]', 'flask-cors'\n    ],\n    extras_require={'dev': ['pytest']},\n)\n";
        assert_eq!(
            place("setup.py", text, "flask").as_deref(),
            Some("setup.py:5:1: `flask` is a dependency")
        );
        assert!(
            ["gunicorn", "rq", "uvicorn", "flask-cors"]
                .iter()
                .all(|name| place("setup.py", text, name).is_some())
        );
        assert!(place("setup.py", text, "pytest").is_none());
        assert!(place("setup.py", "setup(install_requires=read('r.txt'))", "flask").is_none());
    }
}
