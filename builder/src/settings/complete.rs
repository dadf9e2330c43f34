//! Settings that say everything a build needs, and do not contradict each other.

use lapstrake_catalog::VersionRequest;
use lapstrake_oci::tree::Owner;

use crate::app_file::DEFAULT_PORT;
use crate::cli::Shell;
use crate::command_line::StartText;
use crate::failure::{Exit, Failure};
use crate::origin::{Origin, Set};
use crate::steps::{Phase, PlannedStep};

use super::{Named, Runtime, Settings};

/// What an app asks for, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The runtime.
    pub runtime: Runtime,
    /// The version lock.
    pub version: Option<Set<VersionRequest>>,
    /// The commands, phase by phase.
    pub steps: Vec<PlannedStep>,
    /// Variables of the build commands.
    pub build_env: Named,
    /// The start command.
    pub start: Set<StartText>,
    /// Whether the start command gets a shell.
    pub shell: Shell,
    /// The port.
    pub port: Set<u16>,
    /// One more variable that holds the port.
    pub port_env: Option<Set<String>>,
    /// Variables of the start command; those that hold the port are not among them.
    pub run_env: Named,
    /// References to secrets, for the platform that deploys.
    pub run_secrets: Named,
    /// Who the app runs as, and who owns `/app`; the runtime's user unless given.
    pub user: Option<Set<Owner>>,
    /// Labels of the image.
    pub labels: Named,
    /// Annotations of the manifest and of the image index.
    pub annotations: Named,
}

impl Settings {
    /// Checks the settings as a whole. What is missing without a start command is told by `sought`, the places where
    /// detection looked for one.
    pub fn complete(self, sought: &[String]) -> Result<AppSettings, Failure> {
        let start = self.start.ok_or_else(|| no_start_command(sought))?;
        let runtime = self.runtime.ok_or_else(|| Failure::new(Exit::Ours, "nothing names a runtime"))?;
        let port = self.port.unwrap_or(Set::new(DEFAULT_PORT, Origin::Default));
        let port_env = self.port_env.filter(|name| name.value != "PORT");
        let run_env = without_port(self.run_env, &port, port_env.as_ref())?;
        check_secrets(&self.run_secrets, &run_env, port_env.as_ref())?;
        let steps =
            [Phase::PreBuild, Phase::Build, Phase::PostBuild, Phase::PreRun].into_iter().flat_map(|phase| {
                let commands = self.commands.get(&phase).into_iter().flatten();
                commands.map(move |command| PlannedStep {
                    phase,
                    command: command.value.clone(),
                    origin: command.origin.clone(),
                })
            });
        Ok(AppSettings {
            runtime,
            version: self.version,
            steps: steps.collect(),
            build_env: self.build_env,
            start,
            shell: self.shell,
            port,
            port_env,
            run_env,
            run_secrets: self.run_secrets,
            user: self.user,
            labels: self.labels,
            annotations: self.annotations,
        })
    }
}

fn no_start_command(sought: &[String]) -> Failure {
    let failure = Failure::new(
        Exit::NotUnderstood,
        format!("nothing tells how the app is started: looked for {}", sought.join(", ")),
    );
    failure.hint("say it with `--command`, in a `Procfile` (`web: COMMAND`), or in an `apprunner.yaml`")
}

/// Takes out what says once more that a variable holds the port, and refuses what says otherwise.
fn without_port(env: Named, port: &Set<u16>, second: Option<&Set<String>>) -> Result<Named, Failure> {
    let holds_port = |name: &str| name == "PORT" || second.is_some_and(|second| second.value == name);
    let number = port.value.to_string();
    if let Some((name, other)) = env.iter().find(|(name, set)| holds_port(name) && set.value != number) {
        let what = format!(
            "`{}`: `{name}` holds the port, which is {number} ({}), and cannot be {}",
            other.origin, port.origin, other.value
        );
        let hint = "set the port with `--port` or `run.network.port` instead";
        return Err(Failure::new(Exit::NotUnderstood, what).hint(hint));
    }
    Ok(Named(env.0.into_iter().filter(|(name, _)| !holds_port(name)).collect()))
}

fn check_secrets(secrets: &Named, env: &Named, port_env: Option<&Set<String>>) -> Result<(), Failure> {
    for (name, secret) in secrets.iter() {
        if name == "PORT" || port_env.is_some_and(|second| second.value == name) {
            let what = format!("`{}`: `{name}` holds the port and cannot be a secret", secret.origin);
            return Err(Failure::new(Exit::NotUnderstood, what));
        }
        if let Some(variable) = env.get(name) {
            let what =
                format!("`{name}` is a variable ({}) and a secret ({})", variable.origin, secret.origin);
            return Err(Failure::new(Exit::NotUnderstood, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<T>(value: T) -> Set<T> {
        Set::new(value, Origin::Flag("--x".to_owned()))
    }

    fn whole() -> Settings {
        Settings {
            runtime: Some(Runtime::Named(set("python3".to_owned()))),
            start: Some(set(StartText::Line("python3 app.py".to_owned()))),
            ..Settings::default()
        }
    }

    fn named(pairs: &[(&str, &str)]) -> Named {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), set((*value).to_owned()))).collect()
    }

    #[test]
    fn without_a_start_command_the_places_are_told_where_one_was_looked_for() {
        let settings = Settings { start: None, ..whole() };
        let failure = settings.complete(&["`Procfile`".to_owned(), "`app.py`".to_owned()]).unwrap_err();
        assert_eq!(failure.what, "nothing tells how the app is started: looked for `Procfile`, `app.py`");
        assert!(failure.hint.unwrap().contains("--command"));
    }

    #[test]
    fn a_variable_that_repeats_the_port_is_taken_out_and_another_value_is_refused() {
        let port = |value: &str| Settings {
            port: Some(set(9000)),
            port_env: Some(set("APP_PORT".to_owned())),
            run_env: named(&[("A", "1"), ("PORT", "9000"), ("APP_PORT", value)]),
            ..whole()
        };
        assert_eq!(port("9000").complete(&[]).unwrap().run_env, named(&[("A", "1")]));
        let failure = port("1").complete(&[]).unwrap_err();
        assert!(failure.what.contains("`APP_PORT` holds the port, which is 9000"), "{failure}");
    }

    #[test]
    fn a_name_is_not_both_a_variable_and_a_secret() {
        let both = |name: &str| Settings {
            run_env: named(&[("A", "1")]),
            run_secrets: named(&[(name, "ref")]),
            ..whole()
        };
        assert!(both("B").complete(&[]).is_ok());
        assert!(both("A").complete(&[]).is_err() && both("PORT").complete(&[]).is_err());
    }
}
