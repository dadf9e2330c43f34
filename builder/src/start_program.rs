//! Whether the programs that a start command names are in the image, told when it is built and not when it starts.

use std::collections::BTreeSet;

use crate::command_line::{StartCommand, is_builtin};

/// Where the program of a command is looked for.
pub struct Places<'a> {
    /// The variable `PATH` of the image.
    pub path: &'a str,
    /// The working directory of the app, absolute.
    pub working_dir: &'a str,
}

/// Names the programs of a command that are nowhere, as far as its text tells. `exists` is asked for paths without the
/// slash before them.
pub fn missing(cmd: &[String], places: &Places<'_>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let programs: BTreeSet<String> = StartCommand::Exec(cmd.to_vec()).programs().into_iter().collect();
    let is_nowhere = |program: &String| {
        !candidates(program, places).iter().any(|path| exists(path.trim_start_matches('/')))
    };
    programs.into_iter().filter(|program| is_plain(program)).filter(is_nowhere).collect()
}

/// Whether a word names a program by itself: not one that the shell makes of it or acts on by itself.
fn is_plain(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@".contains(c);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) && !is_builtin(word)
}

fn candidates(program: &str, places: &Places<'_>) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    if program.contains('/') {
        let mut parts: Vec<&str> = places.working_dir.split('/').collect();
        for part in program.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        return vec![parts.join("/")];
    }
    places.path.split(':').map(|directory| format!("{directory}/{program}")).collect()
}

/// What to say of a program that is nowhere.
#[must_use]
pub fn warning(program: &str) -> String {
    let advice = match program {
        "bash" => ": its shell is `sh`; start the script with it, or bring a `bash` into the image",
        "sudo" | "su" => ": it changes no user; the app runs as the one that `--user` names",
        "yarn" | "pnpm" | "uv" | "poetry" | "pipenv" | "pdm" => {
            ": package managers stay behind; name what they would start"
        }
        _ => "",
    };
    format!("the start command names `{program}`, which is not in the image{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 6] = [
        "usr/bin/python3",
        "bin/sh",
        "app/.venv/bin/gunicorn",
        "app/web/start.sh",
        "app/tool",
        "usr/bin/env",
    ];

    fn found(cmd: &[&str]) -> Vec<String> {
        let cmd: Vec<String> = cmd.iter().map(|word| (*word).to_owned()).collect();
        let places = Places { path: "/app/.venv/bin:/usr/bin:/bin", working_dir: "/app/web" };
        missing(&cmd, &places, |path| FILES.contains(&path))
    }

    #[test]
    fn programs_are_looked_for_in_the_path_and_from_the_working_directory() {
        for there in
            ["python3", "gunicorn", "/usr/bin/env", "./start.sh", "../tool", "/app/web/start.sh", "sh"]
        {
            assert_eq!(found(&[there, "x"]), Vec::<String>::new(), "{there}");
        }
        for gone in ["bash", "./tool", "/usr/local/bin/node", "start.sh"] {
            assert_eq!(found(&[gone]), [gone]);
        }
    }

    #[test]
    fn each_command_of_a_line_is_looked_for_and_what_the_shell_does_itself_is_not() {
        let line =
            "cd /app && export A=1; if python3 -V; then exec gunicorn x; fi || $RUN | nothing && ./start.sh";
        assert_eq!(found(&["/bin/sh", "-c", line]), ["nothing"]);
        assert_eq!(found(&["/bin/sh", "-c", "exec bash run.sh"]), ["bash"]);
    }

    #[test]
    fn the_usual_ones_come_with_advice() {
        assert!(warning("bash").ends_with("or bring a `bash` into the image"));
        assert_eq!(warning("gunicron"), "the start command names `gunicron`, which is not in the image");
    }
}
