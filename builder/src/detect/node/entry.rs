//! The file that starts an app which has no script for that.

use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};

use super::literal::literal;
use super::package::{Package, join};
use super::start::Start;

/// The file that `main` names, or one of the usual names.
pub(super) fn of_file(files: &Files<'_>, app: &Package) -> Result<Option<Start>, DetectError> {
    let at = |name: &str| join(&app.directory, name.trim_start_matches("./"));
    if let Some(main) = app.text(&["main"]) {
        let is_built = app.script("build").is_some()
            && ["build/", "dist/", "lib/", "out/"]
                .iter()
                .any(|built| main.trim_start_matches("./").starts_with(built));
        let found = [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")]
            .into_iter()
            .find(|name| files.has(&at(name)));
        if let Some(name) = found.or_else(|| is_built.then(|| main.to_owned())) {
            let because = app.finding(&["main"], format!("`main` is `{main}`"));
            let name = name.trim_start_matches("./").to_owned();
            return Ok(Some(Start {
                entry: Some(name.clone()),
                ..Start::as_given(&format!("node {}", quoted(&name)), because)
            }));
        }
    }
    for directory in ["", "src"] {
        for stem in ["server", "index", "app", "main"] {
            for ending in ["js", "mjs", "cjs"] {
                let name = join(directory, &format!("{stem}.{ending}"));
                if files.has(&at(&name)) {
                    let because = Finding::new(files.name(&at(&name)), "the file that is started");
                    return Ok(Some(Start {
                        entry: Some(name.clone()),
                        ..Start::as_given(&format!("node {}", quoted(&name)), because)
                    }));
                }
            }
        }
    }
    of_compiled(files, app)
}

/// What the compiler of TypeScript makes of a file with one of the usual names.
fn of_compiled(files: &Files<'_>, app: &Package) -> Result<Option<Start>, DetectError> {
    let Some(build) = app.script("build").filter(|build| build.contains("tsc")) else { return Ok(None) };
    let config = files.text(&join(&app.directory, "tsconfig.json"))?;
    let Some(output) = config.as_ref().and_then(|found| literal(&found.text, "outDir")) else {
        return Ok(None);
    };
    let sources = ["server", "index", "main", "app"].map(|stem| format!("src/{stem}.ts"));
    let source = sources.iter().find(|name| files.has(&join(&app.directory, name)));
    Ok(source.map(|source| {
        let stem = source.trim_start_matches("src/").trim_end_matches(".ts");
        let text = format!(
            "node {}",
            join(output.trim_start_matches("./").trim_end_matches('/'), &format!("{stem}.js"))
        );
        let because = Finding::new(
            files.name(&join(&app.directory, source)),
            format!("`{build}` compiles it to what is started"),
        );
        Start { entry: Some(source.clone()), ..Start::as_given(&text, because) }
    }))
}
