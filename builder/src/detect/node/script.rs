//! What the text of a script or of a `Procfile` comes to: variables taken off, scripts that it calls followed.

use crate::command_line::{self, CommandLine, StartCommand};

/// How many scripts that call one another are followed.
const FOLLOWED: usize = 8;

/// One simple command of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// Variables that are set for it.
    pub(super) env: Vec<(String, String)>,
    /// The command itself.
    pub(super) text: String,
    /// Its words.
    pub(super) words: Vec<String>,
    /// The scripts that led to it, the first one first.
    pub(super) through: Vec<String>,
    /// Whether it called the build script first, which the build has done.
    pub(super) has_built: bool,
}

/// Follows a text to the one command that it starts; none when it starts several, or needs a shell to be understood.
///
/// `script` gives the text of a script by its name.
pub(super) fn simple<'s>(text: &str, script: &impl Fn(&str) -> Option<&'s str>) -> Option<Simple> {
    let mut found = Simple::default();
    let mut text = text.trim().to_owned();
    loop {
        text = assignments(&text, &mut found.env).to_owned();
        let rest = without_build(&text, script);
        found.has_built |= rest.len() < text.len();
        text = assignments(rest, &mut found.env).to_owned();
        let line = CommandLine::parse(&text).ok()?;
        let is_simple = match &line.command {
            StartCommand::Exec(_) => true,
            StartCommand::Shell(line) => line.starts_with("exec ") && !text.contains("$npm_"),
        };
        let words = command_line::words(&text).ok()?;
        if !is_simple {
            return None;
        }
        match called(&words).and_then(|name| Some((name, script(name)?))) {
            Some((name, next))
                if found.through.len() < FOLLOWED && !found.through.iter().any(|n| n == name) =>
            {
                found.through.push(name.to_owned());
                next.trim().clone_into(&mut text);
            }
            Some(_) => return None,
            None => {
                return Some(Simple {
                    text: runner_off(&text).to_owned(),
                    words: without_runner(words),
                    ..found
                });
            }
        }
    }
}

/// Takes variables and `cross-env` off the front of a command.
fn assignments<'t>(text: &'t str, env: &mut Vec<(String, String)>) -> &'t str {
    let mut rest = text;
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
        match word.split_once('=') {
            Some((name, value))
                if is_name(name) && value.chars().all(is_plain) && !after.trim().is_empty() =>
            {
                env.push((name.to_owned(), value.to_owned()));
            }
            None if matches!(word, "cross-env" | "env" | "exec") && !after.trim().is_empty() => {}
            _ => return rest,
        }
        rest = after.trim_start();
    }
}

fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Takes calls of the build script off the front: `npm run build && node dist/main.js`.
fn without_build<'t, 's>(text: &'t str, script: &impl Fn(&str) -> Option<&'s str>) -> &'t str {
    let mut rest = text;
    while let Some((first, after)) = rest.split_once("&&") {
        let words: Vec<String> = first.split_whitespace().map(str::to_owned).collect();
        if !is_build(first, &words, script) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

fn is_build<'s>(text: &str, words: &[String], script: &impl Fn(&str) -> Option<&'s str>) -> bool {
    called(words) == Some("build") || script("build").is_some_and(|build| build == text.trim())
}

/// Whether a text is nothing but the build script.
pub(super) fn is_only_build<'s>(text: &str, script: &impl Fn(&str) -> Option<&'s str>) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    !text.contains("&&") && is_build(text, &words, script)
}

/// The script that a command runs through a package manager, without arguments of its own.
pub(super) fn called(words: &[String]) -> Option<&str> {
    let words: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !matches!(*word, "--silent" | "-s")).collect();
    match words.as_slice() {
        ["npm" | "pnpm" | "yarn" | "bun", "run" | "run-script", name]
        | ["npm" | "pnpm", name @ ("start" | "test")]
        | ["yarn" | "pnpm", name] => Some(name),
        _ => None,
    }
}

/// Takes `npx` and its like off the front.
fn runner_off(text: &str) -> &str {
    let mut rest = text;
    for runner in ["npx ", "npm exec ", "pnpm exec ", "yarn exec ", "yarn run ", "--no-install ", "-- "] {
        rest = rest.strip_prefix(runner).unwrap_or(rest).trim_start();
    }
    rest
}

fn without_runner(words: Vec<String>) -> Vec<String> {
    let off = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["npx", "--no-install" | "--", _, ..] => 2,
        ["npx", word, ..] if !word.starts_with('-') => 1,
        ["npm" | "pnpm" | "yarn", "exec", "--", _, ..] => 3,
        ["npm" | "pnpm" | "yarn", "exec", _, ..] | ["yarn", "run", _, _, ..] => 2,
        _ => 0,
    };
    words.into_iter().skip(off).collect()
}

/// Programs that serve an app to its developers, by the words that they are started with.
const DEVELOPMENT: &[&[&str]] = &[
    &["astro"],
    &["docusaurus"],
    &["gatsby"],
    &["nest", "start"],
    &["next", "dev"],
    &["ng", "serve"],
    &["nuxt"],
    &["nuxi"],
    &["parcel"],
    &["react-scripts", "start"],
    &["vite"],
    &["vue-cli-service", "serve"],
    &["webpack", "serve"],
    &["webpack-dev-server"],
];

/// Whether a command serves the app to its developers, and not to its users.
pub(super) fn is_for_development(words: &[String]) -> bool {
    DEVELOPMENT
        .iter()
        .any(|known| words.len() >= known.len() && known.iter().zip(words).all(|(known, word)| known == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPTS: &[(&str, &str)] = &[
        ("build", "tsc -p ."),
        ("serve", "NODE_ENV=production node dist/main.js"),
        ("start:prod", "yarn serve"),
        ("loop", "npm run loop"),
    ];

    fn of(text: &str) -> Option<Simple> {
        simple(text, &|name| SCRIPTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text))
    }

    fn text(text: &str) -> String {
        of(text).map_or_else(|| "-".to_owned(), |found| found.text)
    }

    #[test]
    fn variables_and_calls_of_other_scripts_are_followed_to_the_command() {
        let found = of("cross-env A=1 npm run start:prod").unwrap();
        assert_eq!(found.text, "node dist/main.js");
        assert_eq!(
            found.env,
            [("A".to_owned(), "1".to_owned()), ("NODE_ENV".to_owned(), "production".to_owned())]
        );
        assert_eq!(found.through, ["start:prod", "serve"]);
        for (given, expected) in [
            ("node server.js", "node server.js"),
            ("  node . ", "node ."),
            ("npx serve -s build", "serve -s build"),
            ("pnpm exec next start", "next start"),
            ("pnpm serve", "node dist/main.js"),
            ("node x --port $PORT", "node x --port $PORT"),
            ("npm run unknown", "npm run unknown"),
            ("npm run serve -- --flag", "npm run serve -- --flag"),
        ] {
            assert_eq!(text(given), expected, "{given}");
        }
    }

    #[test]
    fn the_build_that_a_start_begins_with_is_done_already() {
        for given in [
            "npm run build && node dist/main.js",
            "tsc -p . && node dist/main.js",
            "yarn build && yarn serve",
        ] {
            let found = of(given).unwrap();
            assert_eq!((found.text.as_str(), found.has_built), ("node dist/main.js", true), "{given}");
        }
        assert!(!of("node x").unwrap().has_built);
    }

    #[test]
    fn what_starts_several_programs_or_never_ends_is_not_followed() {
        for given in [
            "prisma migrate deploy && node x",
            "a | b",
            "npm run loop",
            "node $npm_package_main",
            "A=$B node x",
            "echo 'a",
        ] {
            assert_eq!(text(given), "-", "{given}");
        }
    }

    #[test]
    fn servers_for_developers_are_known() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for text in ["vite", "vite preview", "next dev", "nest start --watch", "react-scripts start"] {
            assert!(is_for_development(&words(text)), "{text}");
        }
        for text in ["next start", "node x", "vite-node x", "nest"] {
            assert!(!is_for_development(&words(text)), "{text}");
        }
    }
}
