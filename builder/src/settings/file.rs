//! What an app file says.

use crate::app_file::{AppFile, Command, Located, Variable};
use crate::origin::{Origin, Set};
use crate::steps::Phase;

use super::{Named, Runtime, Settings};

impl Settings {
    /// The settings of an app file of this name.
    #[must_use]
    pub fn of_file(file: &AppFile, name: &str) -> Self {
        let build = &file.build;
        let run = &file.run;
        let phases = [
            (Phase::PreBuild, &build.pre_build),
            (Phase::Build, &build.build),
            (Phase::PostBuild, &build.post_build),
            (Phase::PreRun, &run.pre_run),
        ];
        let secrets =
            run.secrets.iter().map(|secret| (secret.name.value.clone(), set(name, &secret.value_from)));
        Self {
            runtime: file.runtime.as_ref().map(|runtime| Runtime::Named(set(name, runtime))),
            version: run.runtime_version.as_ref().map(|version| set(name, version)),
            commands: phases.map(|(phase, commands)| (phase, self::commands(name, commands))).into(),
            build_env: variables(name, &build.env),
            start: run.command.as_ref().map(|command| set(name, command)),
            port: run.network.port.as_ref().map(|port| set(name, port)),
            port_env: run.network.env.as_ref().map(|env| set(name, env)),
            run_env: variables(name, &run.env),
            run_secrets: secrets.collect(),
            ..Self::default()
        }
    }
}

fn set<T: Clone>(name: &str, located: &Located<T>) -> Set<T> {
    Set::new(located.value.clone(), Origin::File { name: name.to_owned(), at: located.at })
}

fn commands(name: &str, commands: &[Command]) -> Vec<Set<String>> {
    let set = |command: &Command| {
        let at = crate::app_file::Span::at(command.line, 1);
        Set::new(command.text.clone(), Origin::File { name: name.to_owned(), at })
    };
    commands.iter().map(set).collect()
}

fn variables(name: &str, variables: &[Variable]) -> Named {
    variables.iter().map(|variable| (variable.name.value.clone(), set(name, &variable.value))).collect()
}
