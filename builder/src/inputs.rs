//! What a build starts from: the source, and the app file in it.

use std::path::Path;

use lapstrake_oci::tree::{Content, FileTree, Kind, TreePath};

use crate::app_file::{self, AppFile, Diagnostic, FILE_NAME, Severity, decode, render};
use crate::cli::{SourceArgs, Symlinks};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::source::{self, ReadOptions, Source, SourceError, SourceSpec, SymlinkPolicy};

const FILE_LIMIT: u64 = 1 << 20;

/// A source and its app file.
pub struct Inputs {
    /// The source.
    pub source: Source,
    /// The directory of the app inside it; none for its root.
    pub directory: Option<TreePath>,
    /// What the app asks for.
    pub app_file: AppFile,
    /// The name of the app file, for messages.
    pub app_file_name: String,
    /// The text of the app file, for messages.
    pub text: String,
}

impl Inputs {
    /// Reads the source and the app file, and reports what is wrong or questionable in it.
    pub fn read(args: &SourceArgs, scratch: &Path, context: &Context) -> Result<Self, Failure> {
        let spec = SourceSpec::parse(&args.source).map_err(source_failure)?;
        let symlinks = match args.symlinks {
            Symlinks::Inside => SymlinkPolicy::Refuse,
            Symlinks::KeepDangling => SymlinkPolicy::KeepDangling,
        };
        let options = ReadOptions { symlinks, ..ReadOptions::new(scratch) };
        let source = source::read(&spec, std::io::stdin().lock(), &options).map_err(source_failure)?;
        for warning in &source.warnings {
            context.report.warning(&warning.to_string());
        }
        let directory = source::app_dir(&source.tree, args.source_dir.as_deref().unwrap_or_default())
            .map_err(|cause| Failure::new(Exit::NotUnderstood, cause.to_string()))?;
        let (app_file_name, bytes) = app_file_bytes(args, &source.tree, directory.as_ref())?;
        let text = match decode(&app_file_name, &bytes) {
            Ok(text) => text.to_owned(),
            Err(diagnostic) => {
                return Err(Failure::rendered(Exit::NotUnderstood, render(&diagnostic, "").trim_end()));
            }
        };
        let (app_file, diagnostics) = app_file::parse(&app_file_name, &text);
        let app_file = accepted(app_file, &diagnostics, &text, context)?;
        Ok(Self { source, directory, app_file, app_file_name, text })
    }

    /// A file of the source directory, if it has one of this name.
    pub fn file(&self, name: &str) -> Result<Option<(TreePath, Vec<u8>)>, Failure> {
        let path = in_directory(self.directory.as_ref(), name)?;
        let Some(content) = file(&self.source.tree, &path) else { return Ok(None) };
        let bytes = read_small(content, name)?;
        Ok(Some((path, bytes)))
    }
}

fn source_failure(cause: SourceError) -> Failure {
    let exit = match cause.fault() {
        source::Fault::Refused => Exit::Refused,
        source::Fault::NotUnderstood => Exit::NotUnderstood,
        source::Fault::Machine => Exit::Ours,
    };
    Failure::because(exit, "could not read the source", cause)
}

/// The app file: the one named by a flag, else `apprunner.yaml` in the source directory.
fn app_file_bytes(
    args: &SourceArgs,
    tree: &FileTree,
    directory: Option<&TreePath>,
) -> Result<(String, Vec<u8>), Failure> {
    if let Some(path) = &args.config {
        let bytes = fs_err::read(path)
            .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read the app file", cause))?;
        return Ok((path.display().to_string(), bytes));
    }
    let path = in_directory(directory, FILE_NAME)?;
    match file(tree, &path) {
        Some(content) => Ok((path.to_string(), read_small(content, FILE_NAME)?)),
        None => Err(not_found(tree, directory)),
    }
}

fn not_found(tree: &FileTree, directory: Option<&TreePath>) -> Failure {
    let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
    let place = directory.map(ToString::to_string).unwrap_or_default();
    let missing = app_file::not_found(&place, paths.iter().map(String::as_str));
    let hint = missing.hint().unwrap_or_else(|| "write one, or name it with `--config PATH`".to_owned());
    Failure::new(Exit::NotUnderstood, missing.to_string()).hint(hint)
}

fn in_directory(directory: Option<&TreePath>, name: &str) -> Result<TreePath, Failure> {
    let path = match directory {
        Some(directory) => directory.join(name),
        None => TreePath::new(name),
    };
    path.map_err(|cause| Failure::because(Exit::Ours, "could not name a file of the source", cause))
}

/// The content of a regular file; a symbolic link is not followed.
fn file<'t>(tree: &'t FileTree, path: &TreePath) -> Option<&'t Content> {
    match &tree.get(path)?.kind {
        Kind::File(content) => Some(content),
        Kind::Hardlink(target) => match &tree.get(target)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        },
        _ => None,
    }
}

fn read_small(content: &Content, name: &str) -> Result<Vec<u8>, Failure> {
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
