//! Names of Python packages and modules, and which packages an app depends on.

use crate::detect::Finding;

/// The name of a package as package indexes compare them (PEP 503).
pub(super) fn normal(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}

/// Whether a text is a module or a name in one: identifiers with dots between them.
pub(super) fn is_module(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The packages that an app depends on, each with the place that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dependencies(Vec<(String, Finding)>);

impl Dependencies {
    /// What says that the app depends on a package, whose name is given in its normal form.
    pub(super) fn get(&self, name: &str) -> Option<&Finding> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, because)| because)
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Adds a requirement (PEP 508): a name with extras, versions and markers. One for other systems does not count.
    pub(super) fn add(&mut self, requirement: &str, place: &Finding) {
        let (what, marker) = requirement.split_once(';').unwrap_or((requirement, ""));
        let what = what.trim();
        let end = what.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
        let (name, rest) = what.split_at(end.unwrap_or(what.len()));
        if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !is_for_others(marker) {
            let extras = rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let extras =
                extras.map(|(extras, _)| extras.split(',').map(normal_trimmed)).into_iter().flatten();
            self.add_named(name, extras, place);
        }
    }

    /// Adds a package with extras.
    pub(super) fn add_named(&mut self, name: &str, extras: impl Iterator<Item = String>, place: &Finding) {
        let name = normal(name);
        // FastAPI brings its server by an extra.
        let brings_uvicorn =
            name == "fastapi" && extras.into_iter().any(|extra| matches!(&*extra, "standard" | "all"));
        if brings_uvicorn {
            let says = "`uvicorn` comes with `fastapi[standard]`".to_owned();
            self.0.push(("uvicorn".to_owned(), Finding { says, ..place.clone() }));
        }
        let says = format!("`{name}` is a dependency");
        self.0.push((name, Finding { says, ..place.clone() }));
    }
}

fn normal_trimmed(name: &str) -> String {
    normal(name.trim())
}

/// Whether a marker is false on Linux.
fn is_for_others(marker: &str) -> bool {
    let marker: String =
        marker.chars().filter(|c| !c.is_whitespace()).map(|c| if c == '\'' { '"' } else { c }).collect();
    let only_elsewhere = [
        r#"sys_platform=="win32""#,
        r#"sys_platform=="darwin""#,
        r#"sys_platform!="linux""#,
        r#"platform_system=="Windows""#,
        r#"platform_system=="Darwin""#,
        r#"platform_system!="Linux""#,
        r#"os_name=="nt""#,
        r#"os_name!="posix""#,
    ];
    only_elsewhere.contains(&marker.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requirement: &str) -> Dependencies {
        let mut found = Dependencies::default();
        found.add(requirement, &Finding::new("requirements.txt", ""));
        found
    }

    #[test]
    fn names_are_compared_in_their_normal_form() {
        for name in ["Flask-SQLAlchemy", "flask_sqlalchemy", "flask.-_sqlalchemy"] {
            assert_eq!(normal(name), "flask-sqlalchemy");
        }
    }

    #[test]
    fn a_module_is_made_of_identifiers() {
        assert!(["main", "a.b_c", "_x.y2"].into_iter().all(is_module));
        assert!(!["", "a..b", "2a", "a b", "a;b", "a.", "$(x)"].into_iter().any(is_module));
    }

    #[test]
    fn the_name_of_a_requirement_is_found_before_anything_else_in_it() {
        for text in [
            "Gunicorn",
            "gunicorn==27.0.1",
            "gunicorn >= 20 , < 30",
            "gunicorn[gevent]~=23.0",
            "gunicorn @ https://example.com/gunicorn.whl",
            "gunicorn; python_version >= '3.8'",
            "gunicorn ; sys_platform != 'win32'",
            "gunicorn===1; sys_platform == 'linux'",
        ] {
            let found = of(text);
            assert_eq!(found.get("gunicorn").unwrap().says, "`gunicorn` is a dependency", "{text}");
        }
        for text in
            ["gunicorn; sys_platform == \"win32\"", "gunicorn;os_name=='nt'", "./gunicorn", "-e gunicorn", ""]
        {
            assert_eq!(of(text).get("gunicorn"), None, "{text}");
        }
    }

    #[test]
    fn the_server_that_an_extra_brings_is_a_dependency() {
        assert!(of("fastapi[standard]>=0.115").get("uvicorn").is_some());
        assert!(of("fastapi[ all , x ]").get("uvicorn").is_some());
        assert!(of("fastapi").get("uvicorn").is_none());
        assert!(of("starlette[standard]").get("uvicorn").is_none());
    }
}
