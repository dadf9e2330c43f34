//! `lapstrake audit`: which images run on what, and what to do about it.

use std::io::Read;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use lapstrake_catalog::Date;
use lapstrake_catalog::advisory::Advisories;
use lapstrake_catalog::audit::{Auditor, CatalogFacts, Outcome, Policy, Report, Severity, format};
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::Client;
use lapstrake_runtimes::definitions::Definitions;

use super::looked;
use crate::app_file::{self, FILE_NAME, decode};
use crate::audit::{Cache, Found, LayoutPlace, LocksAt, Place, RegistryPlace, Wanted, vulnerabilities, walk};
use crate::cli::{AuditCommand, AuditFormat, AuditRegistryArgs, JudgeArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::parse_reference;
use crate::planning::today;
use crate::registry;
use crate::remote_catalog::Place as CatalogPlace;
use crate::report::print_result;
use crate::trust::{Strictness, Trusted};

/// The most bytes of a file that a user names.
const FILE_LIMIT: u64 = 16 << 20;
/// The same of advisories; those of all of Debian have some 70 MB.
const ADVISORIES_LIMIT: u64 = 512 << 20;

/// Runs the command.
pub fn run(command: &AuditCommand, context: &Context) -> Result<Outcome, Failure> {
    match command {
        AuditCommand::Image(args) => {
            let wanted = args.references.iter().map(|given| image(given)).collect::<Result<Vec<_>, _>>()?;
            in_registry(&args.judge, context, |_| Ok(wanted))
        }
        AuditCommand::Repo(args) => {
            let tags = glob(args.tags.as_deref())?;
            let wanted = vec![Wanted::Repository { repository: repository(&args.repository)?, tags }];
            in_registry(&args.judge, context, |_| Ok(wanted))
        }
        AuditCommand::Registry(args) => in_registry(&args.judge, context, |client| everything(args, client)),
        AuditCommand::Layout(args) => {
            let layout = Layout::open(&args.directory).map_err(|cause| {
                Failure::because(Exit::NotUnderstood, "could not open the image layout", cause)
            })?;
            let repository = format!("oci:{}", args.directory.display());
            let wanted = [Wanted::Repository { repository, tags: None }];
            judged(&LayoutPlace::new(layout), &wanted, &args.judge, context)
        }
    }
}

fn in_registry(
    args: &JudgeArgs,
    context: &Context,
    wanted: impl FnOnce(&Client) -> Result<Vec<Wanted>, Failure>,
) -> Result<Outcome, Failure> {
    let client = registry::client_for_many(&args.registry, context)?;
    let wanted = wanted(&client)?;
    judged(&RegistryPlace::new(&client), &wanted, args, context)
}

/// What a reference names.
fn image(given: &str) -> Result<Wanted, Failure> {
    let reference = parse_reference(given)
        .map_err(|cause| Failure::new(Exit::NotUnderstood, format!("could not find the image: {cause}")))?;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    let name = reference.digest().or(reference.tag()).unwrap_or("latest").to_owned();
    Ok(Wanted::Image { repository, name })
}

/// A repository with its registry.
fn repository(given: &str) -> Result<String, Failure> {
    let refused =
        |why: String| Failure::new(Exit::NotUnderstood, format!("`{given}` is no repository: {why}"));
    let reference = parse_reference(given).map_err(|cause| refused(cause.to_string()))?;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    if repository != given {
        return Err(refused("it has a tag or a digest".to_owned()).hint("`audit image` takes single images"));
    }
    Ok(repository)
}

fn glob(given: Option<&str>) -> Result<Option<GlobMatcher>, Failure> {
    let compiled = given.map(|given| Glob::new(given).map(|glob| glob.compile_matcher())).transpose();
    compiled.map_err(|cause| Failure::because(Exit::NotUnderstood, "`--tags` is no glob", cause))
}

/// Every repository of a registry, as it tells them or as a file does.
fn everything(args: &AuditRegistryArgs, client: &Client) -> Result<Vec<Wanted>, Failure> {
    parse_reference(&format!("{}/name", args.host)).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, format!("`{}` is no registry", args.host), cause)
    })?;
    let names = match &args.repos_from {
        Some(file) => lines(&read(file, "the names of the repositories", FILE_LIMIT)?),
        None => client.repositories(&args.host).map_err(|cause| {
            registry::failure(cause, format!("could not list the repositories of `{}`", args.host))
                .hint("name them with `--repos-from FILE`: many registries do not list them")
        })?,
    };
    let tags = glob(args.tags.as_deref())?;
    let wanted = |name: String| {
        let repository = repository(&format!("{}/{name}", args.host))?;
        Ok(Wanted::Repository { repository, tags: tags.clone() })
    };
    names.into_iter().map(wanted).collect()
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A text that the user named; `-` is standard input.
fn read(path: &Path, what: &str, limit: u64) -> Result<String, Failure> {
    let failed = |cause| Failure::because(Exit::NotUnderstood, format!("could not read {what}"), cause);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        let file = fs_err::File::open(path).map_err(failed)?;
        file.take(limit).read_to_string(&mut text)
    };
    let count = read.map_err(failed)?;
    if count as u64 == limit {
        return Err(Failure::new(Exit::NotUnderstood, format!("{what} has more than {limit} bytes")));
    }
    Ok(text)
}

/// Reads what is wanted, judges it and prints the findings.
fn judged(
    place: &dyn Place,
    wanted: &[Wanted],
    args: &JudgeArgs,
    context: &Context,
) -> Result<Outcome, Failure> {
    let as_of = as_of(args.as_of.as_deref(), context)?;
    let policy = policy(args.policy.as_deref(), as_of)?;
    let source = source(args)?;
    let trusted = looked(&args.catalog, &args.registry, Strictness::Tell, context)?;
    let catalog = &trusted.catalog;
    let cache = Cache::at(context.data_dir.join("audit"));
    let Found { images, unread, others } = walk(place, wanted, &cache, &context.stop)?;
    if others > 0 {
        context.report.note(&format!("{others} tags name no image, but signatures or other artifacts"));
    }
    let mut auditor = Auditor::new(catalog, &policy, as_of, facts(&trusted));
    if let Some(advisories) = advisories(&args.advisories)? {
        let client = registry::client(&args.registry, context)?;
        let at = match &args.catalog.catalog {
            Some(given) => LocksAt::Published(CatalogPlace::parse(given, &client, context)?),
            None => LocksAt::Here(Box::new(
                Definitions::embedded()
                    .map_err(|cause| Failure::because(Exit::Ours, "could not read the locks", cause))?,
            )),
        };
        let known = vulnerabilities(&advisories, &auditor.entries(&images), catalog, &at)?;
        auditor = auditor.with_vulnerabilities(known);
    }
    let report = auditor.audit(&images, unread);
    print(&text(&report, args.format, source.as_ref()), args.output.as_deref())?;
    let fail_on = args.fail_on.map(Severity::from).or(policy.fail_on).unwrap_or(Severity::Error);
    Ok(report.outcome(fail_on))
}

/// What is known of the catalog itself.
fn facts(trusted: &Trusted) -> CatalogFacts {
    CatalogFacts {
        digest: trusted.index.clone(),
        is_signed: trusted.is_signed,
        newest_seen: trusted.newest_seen,
        doubts: trusted.doubts.clone(),
        ..CatalogFacts::of(&trusted.catalog)
    }
}

/// What is known of vulnerabilities, from all files together.
fn advisories(files: &[PathBuf]) -> Result<Option<Advisories>, Failure> {
    let mut all: Option<Advisories> = None;
    for file in files {
        let text = read(file, "the advisories", ADVISORIES_LIMIT)?;
        let parsed = Advisories::parse(&text).map_err(|cause| {
            Failure::because(Exit::NotUnderstood, format!("`{}` is refused", file.display()), cause)
        })?;
        all.get_or_insert_default().merge(parsed);
    }
    Ok(all)
}

fn as_of(given: Option<&str>, context: &Context) -> Result<Date, Failure> {
    let given = given.map(str::parse::<Date>).transpose();
    let given = given.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--as-of`: {cause}")))?;
    Ok(given.unwrap_or_else(|| today(context)))
}

fn policy(path: Option<&Path>, as_of: Date) -> Result<Policy, Failure> {
    let Some(path) = path else { return Ok(Policy::default()) };
    let text = read(path, "the policy", FILE_LIMIT)?;
    Policy::parse(&text, as_of).map_err(|cause| {
        Failure::because(Exit::NotUnderstood, format!("`{}` is refused", path.display()), cause)
    })
}

/// The line of an app file that asks for the runtime.
fn source(args: &JudgeArgs) -> Result<Option<format::Source>, Failure> {
    let Some(path) = &args.source else { return Ok(None) };
    let name = path.display().to_string();
    let text = read(path, "the app file", FILE_LIMIT)?;
    let text = decode(FILE_NAME, text.as_bytes())
        .map_err(|problem| Failure::new(Exit::NotUnderstood, format!("`{name}`: {}", problem.message)))?;
    let (asked, _) = app_file::parse_asked(FILE_NAME, text);
    let at = asked.version.map(|version| version.at).or(asked.runtime.map(|runtime| runtime.at));
    Ok(Some(format::Source { file: name, line: at.map_or(1, |at| at.start.line) }))
}

fn text(report: &Report, format: AuditFormat, source: Option<&format::Source>) -> String {
    match format {
        AuditFormat::Table => format::table(report),
        AuditFormat::Json => format::json(report),
        AuditFormat::Sarif => format::sarif(report, source),
        AuditFormat::Markdown => format::markdown(report),
        AuditFormat::Junit => format::junit(report),
        AuditFormat::Html => format::html(report),
    }
}

fn print(text: &str, output: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = output else { return print_result(text) };
    fs_err::write(path, text)
        .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not write the findings", cause))
}
