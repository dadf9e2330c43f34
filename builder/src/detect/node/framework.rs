//! What is known of frameworks: how they build, what of the build runs, and which variables they need.

use crate::command_line::quoted;
use crate::detect::files::Files;
use crate::detect::{DetectError, Finding};

use super::literal::literal;
use super::package::{Package, join};
use super::project::Project;

/// A framework that an app is made with.
#[derive(Debug)]
pub(super) struct Framework {
    /// What tells of it.
    pub(super) because: Finding,
    /// The program and its arguments that build the app, where it has no script for that.
    pub(super) build: Option<&'static str>,
    /// Variables of the build.
    pub(super) build_env: Vec<(&'static str, &'static str)>,
    /// Variables of the start command.
    pub(super) run_env: Vec<(&'static str, &'static str)>,
    /// Commands after the build, in the app's directory.
    pub(super) after: Vec<String>,
    /// What the build makes.
    pub(super) output: Output,
    /// What should be known.
    pub(super) notes: Vec<String>,
}

/// What a build makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A server that needs the app's packages, and how it is started.
    Server(String),
    /// A server with everything that it needs, and how it is started.
    Whole(String),
    /// Files for a browser, in this directory.
    Static(String),
}

impl Framework {
    fn new(because: Finding, build: Option<&'static str>, output: Output) -> Self {
        Self {
            because,
            build,
            build_env: Vec::new(),
            run_env: Vec::new(),
            after: Vec::new(),
            output,
            notes: Vec::new(),
        }
    }

    /// Finds the framework of an app; none when it has none that is known.
    pub(super) fn of(files: &Files<'_>, project: &Project) -> Result<Option<Self>, DetectError> {
        let app = &project.app;
        let uses = |name: &str| {
            app.depends_on(name).then(|| app.dependency_finding(name, format!("an app of {}", title(name))))
        };
        if let Some(because) = uses("next") {
            return next(files, project, because).map(Some);
        }
        if let Some(because) = uses("nuxt") {
            return Ok(Some(nuxt(app, because)));
        }
        if let Some(because) = uses("@nestjs/core") {
            return Ok(Some(Self::new(
                because,
                Some("nest build"),
                Output::Server("node dist/main.js".to_owned()),
            )));
        }
        if let Some(because) = uses("@sveltejs/kit") {
            return Ok(Some(sveltekit(app, because)));
        }
        if let Some(because) = uses("astro") {
            return Ok(Some(astro(app, because)));
        }
        // React Router and Remix build with Vite and start a server by a script.
        if app.depends_on("@react-router/dev") || app.depends_on("@remix-run/dev") {
            return Ok(None);
        }
        if let Some(because) = uses("vite") {
            let directory = vite_output(files, app)?;
            return Ok(Some(Self::new(because, Some("vite build"), Output::Static(directory))));
        }
        let others = [
            ("@docusaurus/core", "docusaurus build", "build"),
            ("@vue/cli-service", "vue-cli-service build", "dist"),
            ("gatsby", "gatsby build", "public"),
            ("react-scripts", "react-scripts build", "build"),
        ];
        let other = others.into_iter().find(|(name, ..)| app.depends_on(name));
        Ok(other.and_then(|(name, build, directory)| {
            Some(Self::new(uses(name)?, Some(build), Output::Static(directory.to_owned())))
        }))
    }
}

fn title(name: &str) -> &str {
    match name {
        "next" => "Next.js",
        "nuxt" => "Nuxt",
        "@nestjs/core" => "NestJS",
        "@sveltejs/kit" => "SvelteKit",
        "astro" => "Astro",
        "vite" => "Vite",
        "react-scripts" => "Create React App",
        other => other,
    }
}

fn next(files: &Files<'_>, project: &Project, because: Finding) -> Result<Framework, DetectError> {
    let app = &project.app;
    let config = config(files, app, "next.config", &["js", "mjs", "ts", "cjs"])?;
    let mode = config.as_ref().and_then(|(_, text)| literal(text, "output"));
    let mut found = Framework::new(because, Some("next build"), Output::Server("next start".to_owned()));
    found.build_env = vec![("NEXT_TELEMETRY_DISABLED", "1")];
    found.run_env = vec![("NEXT_TELEMETRY_DISABLED", "1")];
    match (mode.as_deref(), &config) {
        (Some("standalone"), Some((file, _))) => {
            // Container engines set HOSTNAME to the container's name, and the server listens there and nowhere else.
            found.run_env.push(("HOSTNAME", "0.0.0.0"));
            let inside = join(".next/standalone", &project.in_root(app));
            let inside = quoted(&inside);
            found.after = vec![format!("cp -R .next/static {inside}/.next/static")];
            if files.has_directory(&join(&app.directory, "public")) {
                found.after.push(format!("cp -R public {inside}/public"));
            }
            found.output = Output::Whole(format!("node {inside}/server.js"));
            found.because =
                Finding::new(file, "an app of Next.js that builds a server with everything in it");
        }
        (Some("export"), Some((file, _))) => {
            found.output = Output::Static("out".to_owned());
            found.because = Finding::new(file, "an app of Next.js that builds static files");
        }
        _ => {}
    }
    found.after.push("rm -rf .next/cache".to_owned());
    found.notes.push("Next.js writes random keys and a random build ID into what it builds, so the digest of the app's layer differs with every build".to_owned());
    Ok(found)
}

fn nuxt(app: &Package, because: Finding) -> Framework {
    let is_static = app
        .script("build")
        .is_some_and(|build| build.contains("nuxt generate") || build.contains("nuxi generate"));
    let output = if is_static {
        Output::Static(".output/public".to_owned())
    } else {
        Output::Whole("node .output/server/index.mjs".to_owned())
    };
    let mut found = Framework::new(because, Some("nuxt build"), output);
    found.build_env = vec![("NUXT_TELEMETRY_DISABLED", "1")];
    found.after = vec!["rm -rf .nuxt".to_owned()];
    found
}

fn sveltekit(app: &Package, because: Finding) -> Framework {
    let output = if app.depends_on("@sveltejs/adapter-static") {
        Output::Static("build".to_owned())
    } else {
        Output::Server("node build".to_owned())
    };
    let mut found = Framework::new(because, Some("vite build"), output);
    if !app.depends_on("@sveltejs/adapter-node") && !app.depends_on("@sveltejs/adapter-static") {
        let note = "SvelteKit builds a server for Node.js with `@sveltejs/adapter-node`, which the app does not depend on";
        found.notes.push(note.to_owned());
    }
    found
}

fn astro(app: &Package, because: Finding) -> Framework {
    let output = if app.depends_on("@astrojs/node") {
        Output::Server("node dist/server/entry.mjs".to_owned())
    } else {
        Output::Static("dist".to_owned())
    };
    let mut found = Framework::new(because, Some("astro build"), output);
    found.build_env = vec![("ASTRO_TELEMETRY_DISABLED", "1")];
    // Its server listens on the loopback alone otherwise.
    found.run_env = vec![("HOST", "0.0.0.0")];
    found
}

/// The directory that Vite builds into.
fn vite_output(files: &Files<'_>, app: &Package) -> Result<String, DetectError> {
    let of_script = app.script("build").and_then(|build| {
        let mut words = build.split_whitespace();
        words.find(|word| *word == "--outDir")?;
        words.next().map(str::to_owned)
    });
    let config = config(files, app, "vite.config", &["js", "ts", "mjs", "mts", "cjs", "cts"])?;
    let text = config.map(|(_, text)| text).unwrap_or_default();
    let output = of_script.or_else(|| literal(&text, "outDir")).unwrap_or_else(|| "dist".to_owned());
    let root = literal(&text, "root").unwrap_or_default();
    Ok(normal(&join(&root, &output)).unwrap_or(output))
}

/// A relative path without `.` and `..`; none when it leads out.
fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

fn config(
    files: &Files<'_>,
    app: &Package,
    stem: &str,
    endings: &[&str],
) -> Result<Option<(String, String)>, DetectError> {
    for ending in endings {
        if let Some(found) = files.text(&join(&app.directory, &format!("{stem}.{ending}")))? {
            return Ok(Some((found.file, found.text)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::files::tests::tree;

    fn of(files: &[(&str, &str)]) -> Option<Framework> {
        let tree = tree(files);
        let files = Files::new(&tree, None);
        Framework::of(&files, &Project::read(&files).unwrap().unwrap()).unwrap()
    }

    fn output(files: &[(&str, &str)]) -> Output {
        of(files).unwrap().output
    }

    #[test]
    fn each_framework_is_known_by_its_package() {
        for (names, expected) in [
            (r#""next": "16""#, Output::Server("next start".into())),
            (r#""nuxt": "4", "vue": "3""#, Output::Whole("node .output/server/index.mjs".into())),
            (r#""@nestjs/core": "11""#, Output::Server("node dist/main.js".into())),
            (
                r#""@sveltejs/kit": "2", "vite": "7", "@sveltejs/adapter-node": "5""#,
                Output::Server("node build".into()),
            ),
            (
                r#""@sveltejs/kit": "2", "vite": "7", "@sveltejs/adapter-static": "3""#,
                Output::Static("build".into()),
            ),
            (r#""astro": "5", "@astrojs/node": "9""#, Output::Server("node dist/server/entry.mjs".into())),
            (r#""astro": "5""#, Output::Static("dist".into())),
            (r#""vite": "7""#, Output::Static("dist".into())),
            (r#""react-scripts": "5""#, Output::Static("build".into())),
        ] {
            let package = format!(r#"{{"dependencies": {{{names}}}}}"#);
            assert_eq!(output(&[("package.json", &package)]), expected, "{names}");
        }
        assert!(of(&[("package.json", r#"{"dependencies": {"express": "5", "vitest": "3"}}"#)]).is_none());
        assert!(
            of(&[("package.json", r#"{"devDependencies": {"vite": "7", "@react-router/dev": "7"}}"#)])
                .is_none()
        );
    }

    #[test]
    fn the_output_of_next_follows_its_configuration() {
        let package = ("package.json", r#"{"dependencies": {"next": "16"}}"#);
        let standalone =
            [package, ("next.config.mjs", "export default { output: 'standalone' }"), ("public/x", "")];
        let found = of(&standalone).unwrap();
        assert_eq!(found.output, Output::Whole("node .next/standalone/server.js".into()));
        assert_eq!(
            found.after,
            [
                "cp -R .next/static .next/standalone/.next/static",
                "cp -R public .next/standalone/public",
                "rm -rf .next/cache"
            ]
        );
        assert!(found.run_env.contains(&("HOSTNAME", "0.0.0.0")));
        assert_eq!(
            output(&[package, ("next.config.ts", "const c = {\n  output: \"export\",\n}")]),
            Output::Static("out".into())
        );
        assert_eq!(
            output(&[package, ("next.config.ts", "// output: 'export',\n")]),
            Output::Server("next start".into())
        );
    }

    #[test]
    fn the_directory_of_vite_follows_its_configuration_and_the_script() {
        let package = ("package.json", r#"{"devDependencies": {"vite": "7"}}"#);
        let config = |text| output(&[package, ("vite.config.ts", text)]);
        assert_eq!(config("build: { outDir: 'build/web' }"), Output::Static("build/web".into()));
        assert_eq!(
            config("root: './client', build: { outDir: '../public' }"),
            Output::Static("public".into())
        );
        assert_eq!(config("export default {}"), Output::Static("dist".into()));
        let scripted = (
            "package.json",
            r#"{"devDependencies": {"vite": "7"}, "scripts": {"build": "vite build --outDir www"}}"#,
        );
        assert_eq!(output(&[scripted]), Output::Static("www".into()));
    }
}
