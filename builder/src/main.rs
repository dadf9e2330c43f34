//! The `lapstrake` command: reads arguments, environment and clock once, runs one command, and turns its outcome into
//! an exit code.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use jiff::Timestamp;
use lapstrake::cli::{CatalogCommand, Cli, Command};
use lapstrake::commands;
use lapstrake::context::{Context, Stop, default_data_dir};
use lapstrake::failure::{Exit, Failure};
use lapstrake::limits::Limits;
use lapstrake::report::Report;
use lapstrake::source::Reader;
use lapstrake_catalog::audit::Outcome;
use lapstrake_runtimes::mirrors::MirrorFlags;
use lapstrake_sandbox::Isolation;

/// The exit code of an audit that could not read everything and found nothing that fails it.
const PARTIAL: u8 = 4;

fn main() -> ExitCode {
    // Inside the sandbox this call never returns: the same program is its first process there.
    lapstrake_sandbox::enter_if_asked();
    heed_size_limits();
    lapstrake::source::worker::become_if_asked();
    lapstrake_sandbox::return_freed_memory();
    let parsed = Cli::command().try_get_matches();
    let (cli, given_by_variable) = match parsed
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, given_by_variable(&matches))))
    {
        Ok(parsed) => parsed,
        Err(error) => return not_understood(&error),
    };
    let report = Arc::new(Report::new(cli.global.progress, cli.global.quiet));
    let context = match context(&cli, given_by_variable, report) {
        Ok(context) => context,
        Err((failure, report)) => return failed(&failure, &report),
    };
    if let Err(failure) = hide_arguments(&context) {
        return failed(&failure, &context.report);
    }
    match run(&cli.command, &context) {
        Ok(code) => code,
        Err(failure) => failed(&failure, &context.report),
    }
}

/// Build commands see which processes there are where they have no namespace of their own, but not what this one was asked,
/// nor, where nothing else keeps them from it, its environment.
fn hide_arguments(context: &Context) -> Result<(), Failure> {
    if context.isolation == Isolation::Strict {
        return Ok(());
    }
    let is_open = context.isolation == Isolation::Host;
    let hidden = lapstrake_sandbox::hide_arguments();
    let hidden = if is_open { hidden.and_then(|()| lapstrake_sandbox::hide_contents()) } else { hidden };
    hidden.map_err(|cause| {
        Failure::because(Exit::NoIsolation, "could not hide this command from build commands", cause)
    })
}

fn failed(failure: &Failure, report: &Report) -> ExitCode {
    report.failure(failure);
    ExitCode::from(failure.exit.code())
}

fn not_understood(error: &clap::Error) -> ExitCode {
    // Help and version are answers, not errors; a closed pipe is nobody's fault.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Exit::NotUnderstood.code()) } else { ExitCode::SUCCESS }
}

/// The arguments of the command that a variable of the environment gave.
fn given_by_variable(matches: &ArgMatches) -> BTreeSet<String> {
    let by_variable = |id: &&str| matches.value_source(id) == Some(ValueSource::EnvVariable);
    let here = matches.ids().map(clap::Id::as_str).filter(by_variable).map(str::to_owned);
    here.chain(matches.subcommand().into_iter().flat_map(|(_, below)| given_by_variable(below))).collect()
}

fn context(
    cli: &Cli,
    given_by_variable: BTreeSet<String>,
    report: Arc<Report>,
) -> Result<Context, (Failure, Arc<Report>)> {
    let env = environment();
    let stop = Stop::default();
    let data_dir = watch_signals(&stop).and_then(|()| data_dir(cli, &env));
    let global = &cli.global;
    let mirrors = MirrorFlags {
        debian: global.debian_mirror.clone(),
        debian_security: global.debian_security_mirror.clone(),
        npm: global.npm_registry.clone(),
        python: global.python_index.clone(),
    };
    match data_dir.and_then(|data_dir| Ok((data_dir, global.isolation()?))) {
        Ok((data_dir, isolation)) => {
            let (now, authorities) = (Timestamp::now(), global.ca.clone());
            let state_dir = global.state_dir.clone().unwrap_or_else(|| data_dir.clone());
            Ok(Context {
                env,
                now,
                data_dir,
                state_dir,
                report,
                stop,
                isolation,
                build_uid: global.build_uid,
                limits: Limits::with(&global.limit),
                // Whoever trusts what the commands of a source do trusts its archive.
                reader: if isolation == Isolation::Host { Reader::Here } else { Reader::Worker },
                authorities,
                mirrors,
                given_by_variable,
            })
        }
        Err(failure) => Err((failure, report)),
    }
}

fn data_dir(cli: &Cli, env: &BTreeMap<String, String>) -> Result<PathBuf, Failure> {
    match &cli.global.data_dir {
        Some(given) => std::path::absolute(given)
            .map_err(|cause| Failure::io("could not find the data directory", cause)),
        None => default_data_dir(env),
    }
}

/// Makes a file that would grow past `ulimit -f` an error of the call that writes, which knows its name, and not the end of this
/// process. Programs that are started have the usual action again, for a handler is not handed down.
fn heed_size_limits() {
    // Where it cannot be had, the signal does what it does without.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

fn watch_signals(stop: &Stop) -> Result<(), Failure> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let number = usize::try_from(signal).unwrap_or_default();
        // A second signal ends the process at once; the sandbox dies with it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.flag())
            .and_then(|_| signal_hook::flag::register_usize(signal, stop.signal(), number))
            .and_then(|_| signal_hook::flag::register(signal, stop.flag()))
            .map_err(|cause| Failure::io("could not watch for signals", cause))?;
    }
    Ok(())
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn run(command: &Command, context: &Context) -> Result<ExitCode, Failure> {
    let done = match command {
        // Its answer is its exit code.
        Command::Changed(args) => {
            let due = commands::changed::run(args, context)?;
            return Ok(if due { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Audit(command) => {
            return Ok(match commands::audit::run(command, context)? {
                Outcome::Clean => ExitCode::SUCCESS,
                Outcome::Failed => ExitCode::FAILURE,
                Outcome::Partial => ExitCode::from(PARTIAL),
            });
        }
        Command::Verify(args) => commands::verify::run(args, context),
        Command::Doctor(args) => commands::doctor::run(args, context),
        Command::Registry(command) => commands::registry::run(command, context),
        Command::Watch(args) => commands::watch::run(args, context),
        Command::Cache(command) => commands::cache::run(command, context),
        Command::Build(args) => commands::build::run(args, context),
        Command::Plan(args) => commands::plan::run(args, context),
        Command::Lint(args) => commands::lint::run(args, context),
        Command::Schema => commands::schema::run(),
        Command::Init(args) => commands::init::run(args, context),
        Command::Run(args) => commands::run::run(args, context),
        Command::Push(args) => commands::push::run(args, context),
        Command::Rebase(args) => commands::rebase::run(args, context),
        Command::Catalog(CatalogCommand::List(args)) => commands::catalog::list(args, context),
        Command::Catalog(CatalogCommand::Show(args)) => commands::catalog::show(args, context),
        Command::Catalog(CatalogCommand::Build(args)) => commands::catalog::build(args, context),
        Command::Catalog(CatalogCommand::Update(args)) => commands::catalog::update(args, context),
        Command::Catalog(CatalogCommand::Resolve(args)) => commands::catalog::resolve(args, context),
        Command::Catalog(CatalogCommand::Publish(args)) => commands::catalog::publish(args, context),
        Command::Catalog(CatalogCommand::Import(args)) => commands::catalog::import(args, context),
        Command::Catalog(CatalogCommand::Promote(args)) => commands::catalog::promote(args, context),
        Command::Catalog(CatalogCommand::Deprecate(args)) => commands::catalog::deprecate(args, context),
        Command::Catalog(CatalogCommand::Revoke(args)) => commands::catalog::revoke(args, context),
        Command::Catalog(CatalogCommand::Renew(args)) => commands::catalog::renew(args, context),
        Command::Catalog(CatalogCommand::Verify(args)) => commands::catalog::verify(args, context),
        Command::Catalog(CatalogCommand::Sign(args)) => commands::catalog::sign(args, context),
        Command::Catalog(CatalogCommand::Log(args)) => commands::catalog::log(args, context),
        Command::Catalog(CatalogCommand::Diff(args)) => commands::catalog::diff(args, context),
        Command::Catalog(CatalogCommand::Pull(args) | CatalogCommand::Mirror(args)) => {
            commands::catalog::copy(args, context)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
