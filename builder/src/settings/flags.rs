//! What the options of the command say, and the variables that stand for them.

use std::path::Path;

use lapstrake_catalog::VersionRequest;

use crate::app_file::{self, Span};
use crate::cli::SettingArgs;
use crate::command_line::StartText;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::origin::{Origin, Set};
use crate::steps::Phase;

use super::{Named, Runtime, Settings, user};

/// The prefixes of labels that say which runtime an image has, by which it is audited and rebased.
const OWN: [&str; 2] = ["dev.lapstrake.", "org.opencontainers.image.base."];
/// The longest file of variables.
const FILE_LIMIT: u64 = 1 << 20;

/// Reads the options that replace or add to values of the app file.
pub fn flags(args: &SettingArgs, context: &Context) -> Result<Settings, Failure> {
    let given = Given { context };
    let version = given.one(args.runtime_version.as_ref(), "runtime_version");
    Ok(Settings {
        runtime: given.one(args.runtime.as_ref(), "runtime").map(|name| runtime(name, context)),
        version: version.map(|set| parsed(set, str::parse::<VersionRequest>)).transpose()?,
        commands: [
            (Phase::PreBuild, given.commands(&args.pre_build_command, "pre_build_command")),
            (Phase::Build, given.commands(&args.build_command, "build_command")),
            (Phase::PostBuild, given.commands(&args.post_build_command, "post_build_command")),
            (Phase::PreRun, given.commands(&args.pre_run_command, "pre_run_command")),
        ]
        .into_iter()
        .filter(|(_, commands)| !commands.is_empty())
        .collect(),
        build_env: given.variables(&args.build_env, "build_env")?,
        start: given.one(args.command.as_ref(), "command").map(|set| set.map(StartText::Line)),
        shell: args.shell,
        port: given.one(args.port.as_ref(), "port").map(port).transpose()?,
        port_env: given.one(args.port_env.as_ref(), "port_env").map(port_env).transpose()?,
        run_env: given.variables(&args.env, "env")?.over(given.files(&args.env_file)?),
        run_secrets: given.secrets(&args.run_secret)?,
        user: given.one(args.user.as_ref(), "user").map(|set| parsed(set, user::parse)).transpose()?,
        labels: given.labels(&args.label, "label")?,
        annotations: given.labels(&args.annotation, "annotation")?,
    })
}

/// Where options come from: the command line, and the caller's environment.
struct Given<'a> {
    context: &'a Context,
}

impl Given<'_> {
    /// A value that can be given once.
    fn one(&self, value: Option<&String>, id: &str) -> Option<Set<String>> {
        value.map(|value| Set::new(value.clone(), self.context.origin(id)))
    }

    /// Values that can be repeated: the lines of the variable, then those of the command line.
    fn many(&self, values: &[String], id: &str) -> Vec<Set<String>> {
        let name = variable(id);
        let lines =
            self.context.var(&name).unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
        let from_variable = lines.map(|line| Set::new(line.to_owned(), Origin::Variable(name.clone())));
        let from_flags = values.iter().map(|value| Set::new(value.clone(), Origin::Flag(flag(id))));
        from_variable.chain(from_flags).collect()
    }

    /// Commands: those of the command line, else those of the variable.
    fn commands(&self, values: &[String], id: &str) -> Vec<Set<String>> {
        let mut all = self.many(values, id);
        if !values.is_empty() {
            all.retain(|command| matches!(command.origin, Origin::Flag(_)));
        }
        all
    }

    fn variables(&self, values: &[String], id: &str) -> Result<Named, Failure> {
        let pair = |set: Set<String>| variable_pair(set, &self.context.report);
        self.many(values, id).into_iter().map(pair).collect()
    }

    /// The files of variables, in their order.
    fn files(&self, paths: &[std::path::PathBuf]) -> Result<Named, Failure> {
        let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let files = self.many(&texts, "env_file");
        let pairs = files.iter().map(|file| env_file(Path::new(&file.value), self.context));
        Ok(pairs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn secrets(&self, values: &[String]) -> Result<Named, Failure> {
        let pair = |set: Set<String>| {
            let (name, value) = name_and_value(&set)?;
            app_file::secret_fault(&name, &value)
                .map_or(Ok(()), |fault| Err(refused(&set.origin, &fault)))?;
            Ok((name, Set::new(value, set.origin)))
        };
        self.many(values, "run_secret").into_iter().map(pair).collect()
    }

    fn labels(&self, values: &[String], id: &str) -> Result<Named, Failure> {
        let pair = |set: Set<String>| {
            let (name, value) = name_and_value(&set)?;
            if let Some(own) = OWN.into_iter().find(|own| name.starts_with(own)) {
                let fault = format!("names that begin with `{own}` are this program's");
                return Err(refused(&set.origin, &fault));
            }
            Ok((name, Set::new(value, set.origin)))
        };
        self.many(values, id).into_iter().map(pair).collect()
    }
}

/// The option of an argument.
fn flag(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}

/// The variable that stands for an option.
fn variable(id: &str) -> String {
    format!("LAPSTRAKE_{}", id.to_uppercase())
}

fn refused(origin: &Origin, fault: &str) -> Failure {
    Failure::new(Exit::NotUnderstood, format!("`{origin}`: {fault}"))
}

fn parsed<T, E: std::fmt::Display>(
    set: Set<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Set<T>, Failure> {
    match parse(&set.value) {
        Ok(value) => Ok(Set::new(value, set.origin)),
        Err(cause) => Err(refused(&set.origin, &cause.to_string())),
    }
}

fn runtime(mut name: Set<String>, context: &Context) -> Runtime {
    let lower = name.value.to_lowercase();
    if lower != name.value {
        context.report.warning(&format!("`{}`: runtime `{}` is read as `{lower}`", name.origin, name.value));
        name.value = lower;
    }
    Runtime::Named(name)
}

fn port(text: Set<String>) -> Result<Set<u16>, Failure> {
    let fault = |text: &str| format!("port `{text}` is not a number from 1 to 65535");
    parsed(text, |text| app_file::port_number(text).ok_or_else(|| fault(text)))
}

fn port_env(name: Set<String>) -> Result<Set<String>, Failure> {
    if app_file::can_hold_port(&name.value) {
        return Ok(name);
    }
    let fault = format!("`{}` cannot be the name of a variable that holds the port", name.value);
    Err(refused(&name.origin, &fault))
}

/// `NAME=VALUE`; the value is not part of any message, since it may be one that nobody should read.
fn name_and_value(set: &Set<String>) -> Result<(String, String), Failure> {
    let split = set.value.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    let owned = split.map(|(name, value)| (name.to_owned(), value.to_owned()));
    owned.ok_or_else(|| {
        refused(&set.origin, "it must be NAME=VALUE").hint("an empty value is written `NAME=`")
    })
}

fn variable_pair(set: Set<String>, report: &crate::report::Report) -> Result<(String, Set<String>), Failure> {
    let (name, value) = name_and_value(&set)?;
    if let Some(fault) =
        app_file::name_fault(&name).map(|(_, fault)| fault).or_else(|| app_file::value_fault(&value))
    {
        return Err(refused(&set.origin, &fault));
    }
    if !app_file::is_plain_name(&name) {
        report.warning(&format!("`{}`: shells cannot read a variable named `{name}`", set.origin));
    }
    Ok((name, Set::new(value, set.origin)))
}

/// Reads a file with a `NAME=VALUE` on each line. Nothing is unquoted or expanded, as container engines do it.
fn env_file(path: &Path, context: &Context) -> Result<Vec<(String, Set<String>)>, Failure> {
    let name = path.display().to_string();
    let unreadable = || format!("could not read the variables in `{name}`");
    let failed = |cause| Failure::because(Exit::NotUnderstood, unreadable(), cause);
    if fs_err::metadata(path).map_err(failed)?.len() > FILE_LIMIT {
        let why = format!("it has more than {FILE_LIMIT} bytes");
        return Err(Failure::because(Exit::NotUnderstood, unreadable(), why));
    }
    let text = fs_err::read_to_string(path).map_err(failed)?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let meant = lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let pair = |(index, line): (usize, &str)| {
        let origin = Origin::File { name: name.clone(), at: Span::at(index + 1, 1) };
        variable_pair(Set::new(line.trim_start().to_owned(), origin), &context.report)
    };
    meant.map(pair).collect()
}
