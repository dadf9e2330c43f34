//! `lapstrake init`: writes an app file from what the app's own files say.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lapstrake_catalog::Permissions;

use super::looked;
use crate::app_file::FILE_NAME;
use crate::cli::InitArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::fetch::failure as source_failure;
use crate::init::app_file;
use crate::inputs::in_directory;
use crate::lint::detected::{decide, look};
use crate::lint::{Findings, Subject};
use crate::planning::today;
use crate::platform::host_platform;
use crate::report::print_result;
use crate::runtime_choice::Terms;
use crate::source::{self, AppDirError};
use crate::trust::Strictness;

/// Runs the command.
pub fn run(args: &InitArgs, context: &Context) -> Result<(), Failure> {
    let root = Path::new(&args.source);
    let given = args.source_dir.as_deref().unwrap_or_default();
    let path = in_directory(source::app_path(given).map_err(no_directory)?.as_ref(), FILE_NAME)?;
    let file = path.below(root);
    if !root.is_dir() {
        let what = format!("`{}` is no directory: an app file is written into one", args.source);
        return Err(Failure::new(Exit::NotUnderstood, what));
    }
    if !args.force && !args.stdout && file.symlink_metadata().is_ok() {
        return Err(is_there(&file));
    }
    let tree = source::glance_below(root, &path).map_err(source_failure)?;
    let directory = source::app_dir(&tree, given).map_err(no_directory)?;
    let text = detected(&Subject { tree, directory, file: None }, args, context)?;
    if args.stdout {
        return print_result(&text);
    }
    write(&file, &text, args.force)?;
    context.report.note(&format!("wrote {}", file.display()));
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn no_directory(cause: AppDirError) -> Failure {
    Failure::new(Exit::NotUnderstood, cause.to_string())
}

fn is_there(file: &Path) -> Failure {
    let what = format!("`{}` is there already", file.display());
    Failure::new(Exit::NotUnderstood, what).hint("`--force` replaces it, and `--stdout` only prints")
}

/// The text of an app file that says what detection found.
fn detected(subject: &Subject, args: &InitArgs, context: &Context) -> Result<String, Failure> {
    let catalog = looked(&args.catalog, &args.registry, Strictness::Refuse, context)?.catalog;
    let platforms = [host_platform()?];
    let permissions = Permissions::default();
    let terms =
        Terms { catalog: &catalog, platforms: &platforms, permissions: &permissions, as_of: today(context) };
    let mut findings = Findings::default();
    let Some(found) = look(subject, &mut findings)? else { return Err(findings.into_failure()) };
    match decide(&found, subject, &terms, &mut findings)? {
        Some((chosen, _)) => Ok(app_file(&found, &chosen)),
        None => Err(findings.into_failure()),
    }
}

/// Writes the file whole or not at all; one that is there is replaced only where that was asked for.
fn write(file: &Path, text: &str, is_forced: bool) -> Result<(), Failure> {
    let failed = |cause: io::Error| {
        Failure::because(Exit::NotUnderstood, format!("could not write `{}`", file.display()), cause)
    };
    let directory = file.parent().unwrap_or(Path::new("."));
    let permissions = fs::Permissions::from_mode(0o666);
    let mut temporary = tempfile::Builder::new()
        .prefix(".apprunner-")
        .permissions(permissions)
        .tempfile_in(directory)
        .map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    let kept = if is_forced { temporary.persist(file) } else { temporary.persist_noclobber(file) };
    match kept {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(file)),
        Err(error) => Err(failed(error.error)),
    }
}
