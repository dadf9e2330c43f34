//! The package managers that are not part of a runtime, at versions of our choice.
//!
//! A build installs them where nothing reaches the image from. Their versions are fixed here, so that one source gives one
//! image later as well; a version that the app itself asks for counts more.

use lapstrake_catalog::RequiresPython;

use crate::app_file::Located;

use super::constraint::to_specifiers;

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// The name of the package and of its program.
    pub(super) name: &'static str,
    version: &'static str,
    /// Packages of its own that what it installs depends on, or that it does not work with the newest of.
    beside: &'static [&'static str],
}

pub(super) const UV: Tool = Tool { name: "uv", version: "0.13.9", beside: &[] };

// What makes a virtual environment leaves its scripts and its own version there.
pub(super) const POETRY: Tool =
    Tool { name: "poetry", version: "2.5.1", beside: &["installer==1.1.0", "virtualenv==21.15.11"] };

// It asks for any hishel, and does not start with hishel 2.
pub(super) const PDM: Tool = Tool {
    name: "pdm",
    version: "2.29.4",
    beside: &["hishel==1.4.0", "installer==1.1.0", "virtualenv==21.15.11"],
};

pub(super) const PIPENV: Tool =
    Tool { name: "pipenv", version: "2026.10.3", beside: &["virtualenv==21.15.11"] };

impl Tool {
    /// The program, once it is installed.
    pub(super) fn program(self) -> String {
        format!("/tmp/{0}/bin/{0}", self.name)
    }

    /// The command that installs it, of a version that satisfies what the app asks for. A note where that is not understood.
    pub(super) fn install(self, asked: Option<&Located<String>>, file: &str) -> (String, Option<String>) {
        let Self { name, version, beside } = self;
        let ours =
            std::iter::once(format!("{name}=={version}")).chain(beside.iter().map(ToString::to_string));
        let mut packages: Vec<String> = ours.collect();
        let mut note = None;
        if let Some(asked) = asked {
            match specifiers(&asked.value) {
                Some((_, range)) if version.parse().is_ok_and(|version| range.is_satisfied_by(version)) => {}
                // Another version may need others beside it.
                Some((text, _)) => packages = vec![format!("'{name}{text}'")],
                None => {
                    let place = asked.at.start;
                    note = Some(format!(
                        "{file}:{place}: `{}` is not a range of versions; {name} {version} is used",
                        asked.value
                    ));
                }
            }
        }
        let packages = packages.join(" ");
        (format!("python3 -m venv /tmp/{name} && /tmp/{name}/bin/pip install {packages}"), note)
    }
}

/// A range of versions of a tool, also as one exact version and as Poetry writes ranges.
fn specifiers(text: &str) -> Option<(String, RequiresPython)> {
    let text = to_specifiers(text.trim())?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "<>=!~,.*-+ ".contains(c);
    // It becomes part of a command.
    let range = RequiresPython::parse(&text).filter(|_| text.chars().all(is_plain))?;
    Some((text, range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_file::Span;

    fn install(asked: &str) -> (String, Option<String>) {
        let asked = Located { value: asked.to_owned(), at: Span::at(3, 9) };
        UV.install(Some(&asked), "pyproject.toml")
    }

    #[test]
    fn the_version_is_ours_unless_the_app_asks_for_another() {
        let (ours, note) = UV.install(None, "");
        assert_eq!(ours, format!("python3 -m venv /tmp/uv && /tmp/uv/bin/pip install uv=={}", UV.version));
        assert_eq!(note, None);
        for fitting in [">=0.5", "^0.13", UV.version, "==0.13.*", ">=0.5,<1"] {
            assert_eq!(install(fitting), (ours.clone(), None), "{fitting}");
        }
        for (other, package) in
            [("0.4.1", "'uv==0.4.1'"), ("~0.4.1", "'uv>=0.4.1,<0.5'"), (">=99", "'uv>=99'")]
        {
            assert!(install(other).0.ends_with(&format!("pip install {package}")), "{other}");
        }
    }

    #[test]
    fn what_is_no_range_never_becomes_part_of_a_command() {
        for text in ["newest", ">=1'; touch /x; '", "==1 || ==2", "", ">=0.5 $(x)"] {
            let (command, note) = install(text);
            assert_eq!(command, UV.install(None, "").0, "{text}");
            assert!(note.unwrap().starts_with("pyproject.toml:3:9: `"), "{text}");
        }
    }

    #[test]
    fn what_a_tool_needs_beside_itself_is_installed_with_it_unless_it_is_of_another_version() {
        assert!(PDM.install(None, "").0.contains(" pdm==2.29.4 hishel==1.4.0 "));
        let asked = Located { value: "<2".to_owned(), at: Span::at(3, 9) };
        let (command, _) = POETRY.install(Some(&asked), "pyproject.toml");
        assert!(command.ends_with("/tmp/poetry/bin/pip install 'poetry<2'"), "{command}");
        assert!(POETRY.install(None, "").0.contains(" virtualenv=="));
    }
}
