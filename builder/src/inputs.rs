//! What a build starts from: the source, and what the app in it asks for.

use std::path::Path;

use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};

use crate::app_file::{self, AppFile, Diagnostic, FILE_NAME, Rule, Severity, Supplied, decode, render};
use crate::cache::Cache;
use crate::checkout::Checkout;
use crate::cli::{SourceArgs, Symlinks};
use crate::context::Context;
use crate::detect::{self, DetectError, Detected, Language};
use crate::failure::{Exit, Failure};
use crate::fetch::Fetcher;
use crate::origin::{Origin, Set};
use crate::settings::{self, AppSettings, Runtime, Settings};
use crate::source::{self, AppDirError, ReadOptions, Source, SourceAddress, StampsAt, SymlinkPolicy};
use crate::steps::Phase;

/// The largest file that is read whole.
pub(crate) const FILE_LIMIT: u64 = 1 << 20;
/// The variable that names the commit.
const COMMIT_VARIABLE: &str = "SOURCE_COMMIT";

/// A source, and what the app in it asks for.
pub struct Inputs {
    /// Where the source is.
    pub address: SourceAddress,
    /// The source.
    pub source: Source,
    /// The directory of the app inside it; none for its root.
    pub directory: Option<TreePath>,
    /// What the app asks for, the options of the command included.
    pub settings: AppSettings,
    /// The app file or, where there is none, what its own files tell.
    pub told: Told,
}

/// What tells what the app asks for.
pub enum Told {
    /// An app file.
    ByFile {
        /// Its name, for messages.
        name: String,
        /// Its text, for messages.
        text: String,
    },
    /// The app's own files.
    ByDetection(Box<Detected>),
    /// Nothing but the options of the command.
    ByOptions,
}

impl Inputs {
    /// Reads the source and the app file, and reports what is wrong or questionable in it. Files that `cache` knows by
    /// their stamps are not read again.
    pub fn read(
        args: &SourceArgs,
        cache: Option<Cache>,
        scratch: &Path,
        context: &Context,
    ) -> Result<Self, Failure> {
        let fetcher = Fetcher::new(&args.remote, context);
        let address = fetcher.parse(&args.source)?;
        let symlinks = match args.symlinks {
            Symlinks::Inside => SymlinkPolicy::Refuse,
            Symlinks::KeepDangling => SymlinkPolicy::KeepDangling,
        };
        let given_dir = app_directory(address.directory(), args.source_dir.as_deref(), context)?;
        let no_directory = |cause: AppDirError| Failure::new(Exit::NotUnderstood, cause.to_string());
        let app_file = in_directory(source::app_path(given_dir).map_err(no_directory)?.as_ref(), FILE_NAME)?;
        let stamps = cache.map(|cache| StampsAt { cache, now: context.now });
        let options = ReadOptions { symlinks, aside: vec![app_file], stamps, ..ReadOptions::new(scratch) };
        let mut source = fetcher.read(&address, std::io::stdin().lock(), &options)?;
        // The newest one is known, and images have none of them.
        source.times.clear();
        for warning in &source.warnings {
            context.report.warning(&warning.to_string());
        }
        let directory = source::app_dir(&source.tree, given_dir).map_err(|cause| match &source.left_out {
            Some(left_out) => no_directory(cause)
                .hint(format!("look whether `{}` leaves it out of the source", left_out.file)),
            None => no_directory(cause),
        })?;
        let given = settings::flags(&args.settings, context)?;
        let trees = [&source.tree, &source.aside];
        let (settings, told) = match app_file_bytes(args.config.as_deref(), &trees, directory.as_ref())? {
            Some((name, bytes)) => {
                let (file, text) = read_app_file(&name, &bytes, &given, context)?;
                let settings = given.over(Settings::of_file(&file, &name));
                (settings.complete(&[])?, Told::ByFile { name, text })
            }
            None => match detected(&source.tree, directory.as_ref(), &given)? {
                Some(found) => {
                    let settings = given.over(Settings::of_detected(&found));
                    (settings.complete(&found.start_sought)?, Told::ByDetection(Box::new(found)))
                }
                None => (given.complete(&[])?, Told::ByOptions),
            },
        };
        let mut settings = settings;
        if args.commit.commit_env {
            tell_commit(&mut settings, source.checkout.as_ref(), context);
        }
        Ok(Self { address, source, directory, settings, told })
    }

    /// The refusal of a value, at the place that it came from.
    #[must_use]
    pub fn refused(&self, rule: Rule, origin: &Origin, message: String, hint: Option<String>) -> Failure {
        let Origin::File { name, at } = origin else {
            let failure = Failure::new(Exit::NotUnderstood, format!("{message} ({origin})"));
            return match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            };
        };
        let diagnostic = Diagnostic { hint, ..Diagnostic::error(rule, name, *at, message) };
        let text = match &self.told {
            Told::ByFile { name: file, text } if file == name => text.as_str(),
            _ => "",
        };
        Failure::rendered(Exit::NotUnderstood, render(&diagnostic, text).trim_end())
    }

    /// A file of the source directory, if it has one of this name.
    pub fn file(&self, name: &str) -> Result<Option<(TreePath, Vec<u8>)>, Failure> {
        let path = in_directory(self.directory.as_ref(), name)?;
        let Some(content) = file(&self.source.tree, &path) else { return Ok(None) };
        let bytes = read_small(content, name)?;
        Ok(Some((path, bytes)))
    }
}

/// Sets the variable of the commit for build commands and for the app, unless the app has one of its name.
fn tell_commit(settings: &mut AppSettings, checkout: Option<&Checkout>, context: &Context) {
    let Some(checkout) = checkout else {
        let text = format!("the commit of the source is not known: `{COMMIT_VARIABLE}` is not set");
        context.report.warning(&text);
        return;
    };
    for variables in [&mut settings.build_env, &mut settings.run_env] {
        if variables.get(COMMIT_VARIABLE).is_none() {
            let value = Set::new(checkout.revision(), context.origin("commit_env"));
            variables.set(COMMIT_VARIABLE.to_owned(), value);
        }
    }
}

/// The directory of the app, as the address of the source or an option names it.
pub(crate) fn app_directory<'a>(
    named: Option<&'a str>,
    given: Option<&'a str>,
    context: &Context,
) -> Result<&'a str, Failure> {
    match (named, given) {
        (Some(named), Some(given)) if source::app_path(named).ok() != source::app_path(given).ok() => {
            let origin = context.origin("source_dir");
            Err(Failure::new(
                Exit::NotUnderstood,
                format!("the directory of the app is `{named}` in SOURCE and `{given}` in `{origin}`"),
            ))
        }
        (named, given) => Ok(named.or(given).unwrap_or_default()),
    }
}

/// The app file: the one named by a flag, else `apprunner.yaml` in the source directory, if there is one.
pub(crate) fn app_file_bytes(
    config: Option<&Path>,
    trees: &[&FileTree],
    directory: Option<&TreePath>,
) -> Result<Option<(String, Vec<u8>)>, Failure> {
    if let Some(path) = config {
        let bytes = fs_err::read(path)
            .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the app file", cause))?;
        return Ok(Some((path.display().to_string(), bytes)));
    }
    let path = in_directory(directory, FILE_NAME)?;
    let Some(content) = trees.iter().find_map(|tree| file(tree, &path)) else { return Ok(None) };
    Ok(Some((path.to_string(), read_small(content, FILE_NAME)?)))
}

/// Reads an app file, which may do without the keys that options give.
fn read_app_file(
    name: &str,
    bytes: &[u8],
    given: &Settings,
    context: &Context,
) -> Result<(AppFile, String), Failure> {
    let text = decode(name, bytes)
        .map_err(|diagnostic| Failure::rendered(Exit::NotUnderstood, render(&diagnostic, "").trim_end()))?;
    let supplied = Supplied {
        runtime: given.runtime.is_some(),
        build: given.commands.contains_key(&Phase::Build),
        command: given.start.is_some(),
        port: given.port.as_ref().map(|port| port.value),
        form: given.shell.form(),
    };
    let (app_file, diagnostics) = app_file::parse_with(name, text, supplied);
    Ok((accepted(app_file, &diagnostics, text, context)?, text.to_owned()))
}

/// What the app's own files tell; nothing where they tell nothing and the options say enough. Nothing is guessed where an
/// app file has only the wrong name.
fn detected(
    tree: &FileTree,
    directory: Option<&TreePath>,
    given: &Settings,
) -> Result<Option<Detected>, Failure> {
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
    let place = directory.map(ToString::to_string).unwrap_or_default();
    let missing = app_file::not_found(&place, paths.iter().map(String::as_str));
    let failure = |hint: Option<String>| {
        let hint = hint.unwrap_or_else(|| "write one, or name it with `--config PATH`".to_owned());
        Failure::new(Exit::NotUnderstood, missing.to_string()).hint(hint)
    };
    if missing.is_misnamed() {
        return Err(failure(missing.hint()));
    }
    let wanted = match &given.runtime {
        Some(Runtime::Named(name)) => Language::of_runtime(&name.value),
        _ => None,
    };
    let is_enough = given.runtime.is_some() && given.start.is_some();
    match detect::detect(tree, directory, wanted) {
        Ok(found) => Ok(Some(found)),
        Err(DetectError::Nothing(_)) if is_enough => Ok(None),
        // An app file elsewhere says more than any other file there.
        Err(DetectError::Nothing(_)) if missing.hint().is_some() => Err(failure(missing.hint())),
        Err(cause) => Err(cause.into()),
    }
}

/// The path of a file in the directory of the app.
pub(crate) fn in_directory(directory: Option<&TreePath>, name: &str) -> Result<TreePath, Failure> {
    let path = match directory {
        Some(directory) => directory.join(name),
        None => TreePath::new(name),
    };
    path.map_err(|cause| Failure::because(Exit::Ours, "could not name a file of the source", cause))
}

/// The content of a regular file; a symbolic link is not followed.
pub(crate) fn file<'t>(tree: &'t FileTree, path: &TreePath) -> Option<&'t Content> {
    match &tree.get(path)?.kind {
        Kind::File(content) => Some(content),
        Kind::Hardlink(target) => match &tree.get(target)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        },
        _ => None,
    }
}

/// Reads a file that is small if it is what its name says.
pub(crate) fn read_small(content: &Content, name: &str) -> Result<Vec<u8>, Failure> {
    if content.len() > FILE_LIMIT {
        return Err(Failure::new(
            Exit::NotUnderstood,
            format!("`{name}` has {} bytes, more than the limit of {FILE_LIMIT}", content.len()),
        ));
    }
    content.read().map_err(|cause| Failure::io(format!("could not read `{name}`"), cause))
}

/// Shows the problems of the app file. Errors end the command, all of them at once.
fn accepted(
    app_file: Option<AppFile>,
    diagnostics: &[Diagnostic],
    text: &str,
    context: &Context,
) -> Result<AppFile, Failure> {
    let (errors, others): (Vec<_>, Vec<_>) =
        diagnostics.iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
    for diagnostic in others {
        context.report.diagnostic(render(diagnostic, text).trim_end());
    }
    match app_file {
        Some(app_file) if errors.is_empty() => Ok(app_file),
        _ => {
            let rendered: Vec<String> = errors.iter().map(|diagnostic| render(diagnostic, text)).collect();
            Err(Failure::rendered(Exit::NotUnderstood, rendered.join("\n").trim_end()))
        }
    }
}
