//! Whole apps, as they are found: commands, variables, start command.

use lapstrake_oci::tree::TreePath;

use super::*;
use crate::detect::Decided;
use crate::detect::files::tests::tree;

fn detect_in(files: &[(&str, &str)], directory: Option<&str>) -> Detected {
    let tree = tree(files);
    let directory = directory.map(|text| TreePath::new(text).unwrap());
    detect(&Files::new(&tree, directory.as_ref())).unwrap().unwrap()
}

fn found(files: &[(&str, &str)]) -> Detected {
    detect_in(files, None)
}

fn commands(detected: &Detected) -> Vec<&str> {
    detected.build.iter().map(|command| command.text.split("+sha224").next().unwrap()).collect()
}

fn env<'d>(pairs: &'d [(String, Decided)], name: &str) -> Option<&'d str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.text.as_str())
}

fn start(detected: &Detected) -> &str {
    detected.start.as_ref().map_or("", |start| start.text.as_str())
}

const EXPRESS: &str = r#"{"scripts": {"start": "node server.js"}, "dependencies": {"express": "5"}, "devDependencies": {"kleur": "4"}}"#;

#[test]
fn an_app_of_npm_without_a_build_is_installed_for_production_at_once() {
    let app = found(&[
        ("package.json", EXPRESS),
        ("package-lock.json", "{}"),
        ("server.js", "listen(process.env.PORT)"),
    ]);
    assert_eq!(commands(&app), ["npm ci --omit=dev"]);
    assert_eq!((start(&app), app.port), ("node server.js", 8080));
    assert_eq!(env(&app.run_env, "NODE_ENV"), Some("production"));
    assert!(app.notes.is_empty() && app.build_env.is_empty(), "{:?}", app.notes);
    let findings: Vec<String> = app.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "package.json: an app of Node.js",
            "package-lock.json: the dependencies, as npm has locked them",
            "package.json:1:23: the script `start` is `node server.js`; it is one command, so no package manager starts it",
        ]
    );
}

#[test]
fn a_build_needs_everything_and_is_followed_by_taking_away_what_only_it_needs() {
    let package =
        r#"{"scripts": {"build": "tsc", "start": "node dist/x.js"}, "devDependencies": {"typescript": "5"}}"#;
    let of = |lock| {
        commands(&found(&[("package.json", package), lock]))
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(("package-lock.json", "{}")),
        ["npm ci", "npm run build", "npm prune --omit=dev --ignore-scripts"]
    );
    assert_eq!(
        of(("yarn.lock", "# yarn lockfile v1\n")),
        [
            "corepack install --global yarn@1.22.22",
            "yarn install --frozen-lockfile",
            "yarn run build",
            "yarn install --production --frozen-lockfile --offline --ignore-scripts",
        ]
    );
    assert_eq!(
        of(("pnpm-lock.yaml", "lockfileVersion: '9.0'\n")),
        [
            "corepack install --global pnpm@9.15.9",
            "pnpm install --frozen-lockfile",
            "pnpm run build",
            "pnpm install --prod --frozen-lockfile --offline --ignore-scripts",
        ]
    );
    assert_eq!(of(("x", "")), ["npm install", "npm run build", "npm prune --omit=dev --ignore-scripts"]);
}

#[test]
fn scripts_that_an_installation_runs_get_what_developers_have() {
    let package =
        r#"{"scripts": {"prepare": "husky", "start": "node x"}, "devDependencies": {"husky": "9"}}"#;
    let app = found(&[("package.json", package), ("package-lock.json", "{}")]);
    assert_eq!(commands(&app), ["npm ci", "npm prune --omit=dev --ignore-scripts"]);
    let app = found(&[("package.json", package), ("yarn.lock", "__metadata:\n  version: 8\n")]);
    assert_eq!(commands(&app)[1..], ["yarn install --immutable"]);
    assert!(
        app.notes
            .iter()
            .any(|note| note.contains("yarn would run the script `prepare` of `package.json` again")),
        "{:?}",
        app.notes
    );
    assert_eq!(env(&app.build_env, "YARN_ENABLE_GLOBAL_CACHE"), Some("false"));
}

const BERRY: (&str, &str) = ("yarn.lock", "__metadata:\n  version: 10\n");

#[test]
fn plug_and_play_has_its_zip_files_in_the_image_and_node_is_told_where() {
    let package = r#"{"type": "module", "scripts": {"build": "b", "start": "node server.js"}, "dependencies": {"hono": "4"}, "devDependencies": {"b": "1"}}"#;
    let app = found(&[("package.json", package), BERRY]);
    assert_eq!(
        commands(&app)[1..],
        [
            "yarn install --immutable",
            "yarn run build",
            "YARN_ENABLE_GLOBAL_CACHE=false yarn workspaces focus --production"
        ]
    );
    assert_eq!(env(&app.build_env, "YARN_ENABLE_GLOBAL_CACHE"), Some("true"));
    assert_eq!(
        start(&app),
        "node --require /app/.pnp.cjs --experimental-loader /app/.pnp.loader.mjs server.js"
    );
    let app =
        found(&[("package.json", r#"{"main": "x.js", "dependencies": {"hono": "4"}}"#), ("x.js", ""), BERRY]);
    assert_eq!(commands(&app)[1..], ["yarn install --immutable"]);
    assert_eq!(env(&app.build_env, "YARN_ENABLE_GLOBAL_CACHE"), Some("false"), "nothing is taken away");
    assert_eq!(start(&app), "node --require /app/.pnp.cjs x.js");
}

#[test]
fn without_plug_and_play_packages_lie_in_node_modules() {
    let package = (
        "package.json",
        r#"{"scripts": {"start": "next start", "build": "next build"}, "dependencies": {"next": "16"}}"#,
    );
    let app = found(&[package, BERRY]);
    assert_eq!(start(&app), "node_modules/.bin/next start");
    assert_eq!(env(&app.build_env, "YARN_NODE_LINKER"), Some("node-modules"));
    assert_eq!(env(&app.build_env, "NEXT_TELEMETRY_DISABLED"), Some("1"));
    let app = found(&[package, BERRY, (".yarnrc.yml", "nodeLinker: pnpm\n")]);
    assert_eq!(env(&app.build_env, "YARN_NODE_LINKER"), None);
    assert_eq!(env(&app.build_env, "YARN_ENABLE_GLOBAL_CACHE"), Some("true"));
}

const WORKSPACE: &[(&str, &str)] = &[
    ("package.json", r#"{"private": true, "devDependencies": {"typescript": "5"}}"#),
    ("pnpm-workspace.yaml", "packages:\n  - packages/*\n"),
    ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
    (
        "packages/api/package.json",
        r#"{"name": "api", "scripts": {"build": "tsc", "start": "node dist/server.js"}, "dependencies": {"greeting": "workspace:*"}}"#,
    ),
    ("packages/greeting/package.json", r#"{"name": "greeting", "scripts": {"build": "tsc"}}"#),
    ("packages/web/package.json", r#"{"name": "web", "scripts": {"build": "vite build"}}"#),
];

#[test]
fn a_package_of_a_workspace_is_installed_and_built_with_what_it_needs_of_it() {
    let app = detect_in(WORKSPACE, Some("packages/api"));
    assert_eq!(
        commands(&app)[1..],
        [
            "cd ../.. && pnpm install --frozen-lockfile --workspace-root --filter '{./packages/api}...'",
            "cd ../../packages/greeting && pnpm run build",
            "pnpm run build",
            "cd ../.. && pnpm install --prod --frozen-lockfile --offline --ignore-scripts --workspace-root --filter '{./packages/api}...'",
        ]
    );
    assert_eq!(start(&app), "node dist/server.js");
}

#[test]
fn the_one_app_of_a_workspace_is_found_from_its_root() {
    let app = found(WORKSPACE);
    assert_eq!(
        commands(&app)[2..4],
        ["cd packages/greeting && pnpm run build", "cd packages/api && pnpm run build"]
    );
    assert_eq!(start(&app), "cd packages/api && exec node dist/server.js");
    assert!(
        app.notes
            .iter()
            .any(|note| note.starts_with("`packages/api` is the one package of the workspace that starts"))
    );
    let mut two = WORKSPACE.to_vec();
    two[5].1 = r#"{"name": "web", "scripts": {"start": "node x"}}"#;
    let app = found(&two);
    assert_eq!(app.start, None);
    assert!(
        app.start_sought
            .last()
            .unwrap()
            .contains("`packages/api`, `packages/web`: name one with `--source-dir`")
    );
}

#[test]
fn static_files_are_served_by_a_server_of_ours_without_the_packages_of_the_build() {
    let package = r#"{"scripts": {"dev": "vite", "build": "vite build", "preview": "vite preview"}, "devDependencies": {"vite": "7"}}"#;
    let app = found(&[("package.json", package), ("package-lock.json", "{}"), ("index.html", "")]);
    let commands = commands(&app);
    assert_eq!(commands[..3], ["npm ci", "npm run build", "rm -rf node_modules"]);
    assert!(
        commands[3].starts_with("npm install --prefix /opt/static --no-package-lock --no-save sirv-cli@"),
        "{}",
        commands[3]
    );
    assert_eq!(start(&app), "node /opt/static/node_modules/sirv-cli/bin.js dist --single --etag");
    assert_eq!(env(&app.run_env, "HOST"), Some("0.0.0.0"));
}

#[test]
fn a_framework_builds_without_a_script_and_what_has_everything_in_it_keeps_no_packages() {
    let app = found(&[
        ("package.json", r#"{"dependencies": {"nuxt": "4"}}"#),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
    ]);
    assert_eq!(
        commands(&app)[1..],
        ["pnpm install --frozen-lockfile", "pnpm exec nuxt build", "rm -rf .nuxt", "rm -rf node_modules"]
    );
    assert_eq!(start(&app), "node .output/server/index.mjs");
}

#[test]
fn a_port_that_the_app_itself_names_is_the_port() {
    let app = found(&[
        ("package.json", EXPRESS),
        ("package-lock.json", "{}"),
        ("server.js", "\napp.listen(3000)\n"),
    ]);
    assert_eq!(app.port, 3000);
    assert!(
        app.findings.iter().any(|finding| finding.to_string() == "server.js:2:1: the app listens on 3000")
    );
}

#[test]
fn a_directory_without_a_package_is_not_of_node() {
    let tree = tree(&[("server.js", ""), ("web/package.json", "{}")]);
    assert!(detect(&Files::new(&tree, None)).unwrap().is_none());
}

#[test]
fn an_app_of_nothing_but_its_own_files_installs_nothing() {
    let app = found(&[("package.json", r#"{"scripts": {"start": "node server.js"}}"#), ("server.js", "")]);
    assert!(app.build.is_empty() && app.notes.is_empty(), "{:?} {:?}", app.build, app.notes);
    assert_eq!(app.findings.len(), 2);
    let app = found(&[("package.json", r#"{"scripts": {"build": "node build.js"}}"#), ("index.js", "")]);
    assert_eq!(commands(&app), ["npm run build"]);
}

#[test]
fn npm_installs_for_a_whole_workspace_and_takes_away_what_any_of_its_packages_needs_for_development() {
    let files = [
        ("package.json", r#"{"workspaces": ["packages/*"]}"#),
        ("package-lock.json", "{}"),
        (
            "packages/api/package.json",
            r#"{"name": "api", "scripts": {"start": "next start"}, "dependencies": {"next": "16"}}"#,
        ),
        ("packages/web/package.json", r#"{"name": "web", "devDependencies": {"vite": "7"}}"#),
    ];
    let app = detect_in(&files, Some("packages/api"));
    assert_eq!(
        commands(&app),
        [
            "cd ../.. && npm ci",
            "npx --no-install next build",
            "rm -rf .next/cache",
            "cd ../.. && npm prune --omit=dev --ignore-scripts"
        ]
    );
    assert_eq!(start(&app), "npm start", "the program is in one of two directories");
}

#[test]
fn the_root_of_a_workspace_keeps_what_its_packages_need() {
    let files = [
        (
            "package.json",
            r#"{"workspaces": ["packages/*"], "scripts": {"start": "node packages/api/x.js"}, "devDependencies": {"b": "1"}}"#,
        ),
        BERRY,
        (".yarnrc.yml", "nodeLinker: node-modules\n"),
        ("packages/api/package.json", r#"{"name": "api", "dependencies": {"hono": "4"}}"#),
    ];
    assert_eq!(commands(&found(&files))[2], "yarn workspaces focus --all --production");
}
