//! From what an app asks for to the plan of its build: every decision, and where each came from.

use std::collections::BTreeMap;

use lapstrake_catalog::{Date, EntryId, ImageKind, Permissions, PlatformKey, Resolution, Status, Warning};

use crate::app_file::{Diagnostic, Rule, Severity, render};
use crate::cli::{PermissionArgs, SourceArgs};
use crate::command_line::CommandLine;
use crate::context::Context;
use crate::detect::{self, DetectError, Language};
use crate::failure::{Exit, Failure};
use crate::image_config::RunConfig;
use crate::inputs::{Inputs, Told};
use crate::origin::Origin;
use crate::output::Output;
use crate::package_json;
use crate::plan::{Plan, RuntimeChoice, SourceFacts};
use crate::platform::host_platform;
use crate::runtime_choice::{Chosen, Engines, Terms, choose};
use crate::source::SourceKind;
use crate::start_script::runs_npm;
use crate::trust::Trusted;

impl Inputs {
    /// Decides everything that a build does.
    pub fn plan(
        &self,
        args: &SourceArgs,
        trusted: &Trusted,
        outputs: &[Output],
        context: &Context,
    ) -> Result<Plan, Failure> {
        let platforms = platforms(args)?;
        let start = self.start(context)?;
        let engines = self.engines(context)?;
        let permissions = permissions(&args.permissions)?;
        let catalog = &trusted.catalog;
        let terms =
            Terms { catalog, platforms: &platforms, permissions: &permissions, as_of: today(context) };
        let chosen = choose(&self.settings, &terms, engines.as_ref())
            .map_err(|refusal| self.refused(refusal.rule, &refusal.origin, refusal.message, refusal.hint))?;
        for warning in &chosen.warnings {
            context.report.warning(warning);
        }
        self.tell_mismatches(&chosen, context);
        let npm_script = runs_npm(&start.command, &self.source.tree, self.directory.as_ref());
        let needs_npm = start.command.uses_npm() || npm_script.is_some();
        let (app_file, detected, mut notes) = match &self.told {
            Told::ByFile { name, .. } => (Some(name.clone()), Vec::new(), Vec::new()),
            Told::ByOptions => (None, Vec::new(), Vec::new()),
            Told::ByDetection(found) => {
                (None, found.findings.iter().map(ToString::to_string).collect(), found.notes.clone())
            }
        };
        let runtime = choice(trusted, &chosen, needs_npm);
        let origins = self.origins(args, &chosen, context);
        let text = |(name, origin): (&String, &Origin)| (name.clone(), origin.to_string());
        let given: BTreeMap<String, String> = origins
            .iter()
            .filter_map(|(name, origin)| match origin {
                // Files of variables are named by an option.
                Origin::File { name: file, .. } if app_file.as_ref() != Some(file) => {
                    Some((name.clone(), "--env-file".to_owned()))
                }
                _ => origin.is_given().then(|| text((name, origin))),
            })
            .collect();
        if let Some(found) = npm_script.filter(|_| runtime.run_image == ImageKind::RunNpm) {
            notes.push(format!("the image has npm, which `{}` names on line {}", found.script, found.line));
        }
        Ok(Plan {
            source: self.source_facts(),
            app_file,
            detected,
            notes,
            runtime,
            platforms: platforms.iter().map(ToString::to_string).collect(),
            steps: self.settings.steps.clone(),
            flow: args.flow,
            build_env: self.settings.build_env.pairs(),
            build_secrets: Vec::new(),
            run: self.run_config(&start),
            start: start.reason.to_string(),
            secrets: self.settings.run_secrets.pairs().into_iter().collect(),
            annotations: self.settings.annotations.pairs().into_iter().collect(),
            given,
            origins: origins.iter().map(text).collect(),
            destinations: outputs.iter().map(ToString::to_string).collect(),
            why: None,
            layers: None,
        })
    }

    fn start(&self, context: &Context) -> Result<CommandLine, Failure> {
        let start = &self.settings.start;
        let line = CommandLine::of(&start.value, self.settings.shell.form()).map_err(|cause| {
            self.refused(Rule::StartCommand, &start.origin, cause.to_string(), cause.hint())
        })?;
        // Those of the app file were shown with it.
        if !matches!(start.origin, Origin::File { .. }) {
            for warning in &line.warnings {
                context.report.warning(&format!("start command ({}): {warning}", start.origin));
            }
        }
        Ok(line)
    }

    /// The file and the range of `engines.node`, from the `package.json` of the source directory.
    fn engines(&self, context: &Context) -> Result<Option<Engines>, Failure> {
        // Beside a Python app the file may belong to anything.
        if self.settings.runtime.language() == Some(Language::Python) {
            return Ok(None);
        }
        let Some((path, bytes)) = self.file(package_json::FILE_NAME)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        match package_json::engines_node(&path.to_string(), &text) {
            Ok(range) => Ok(range.map(|range| (path.to_string(), range))),
            Err(diagnostic) if diagnostic.severity == Severity::Error => {
                Err(Failure::rendered(Exit::NotUnderstood, render(&diagnostic, &text).trim_end()))
            }
            Err(diagnostic) => {
                context.report.diagnostic(render(&diagnostic, &text).trim_end());
                Ok(None)
            }
        }
    }

    /// Tells of files that ask for another version than the app file. Without one they have chosen it.
    fn tell_mismatches(&self, chosen: &Chosen<'_>, context: &Context) {
        let (Told::ByFile { .. }, Some(language)) = (&self.told, self.settings.runtime.language()) else {
            return;
        };
        let entry = chosen.resolution.entry;
        // The version comes from the app file or an option, or else follows from the runtime's name.
        let origin = if chosen.version == Origin::Default { &chosen.runtime } else { &chosen.version };
        match detect::mismatches(&self.source.tree, self.directory.as_ref(), language, entry.version) {
            Ok(found) => found.iter().for_each(|finding| {
                context.report.warning(&format!("{finding}, but {origin} gives {}", entry.id));
            }),
            // It is not what the build depends on.
            Err(DetectError::Malformed { diagnostic, text }) => {
                let diagnostic = Diagnostic { severity: Severity::Warning, ..*diagnostic };
                context.report.diagnostic(render(&diagnostic, &text).trim_end());
            }
            Err(cause) => context.report.warning(&cause.to_string()),
        }
    }

    fn source_facts(&self) -> SourceFacts {
        SourceFacts {
            given: self.address.to_string(),
            uri: self.address.uri(),
            kind: match self.source.kind {
                SourceKind::Directory => "directory".to_owned(),
                SourceKind::Commit => "git commit".to_owned(),
                SourceKind::Archive(compression) => format!("tar archive ({compression:?})").to_lowercase(),
            },
            is_archive: matches!(self.source.kind, SourceKind::Archive(_)),
            digest: self.source.digest.clone(),
            directory: self.directory.as_ref().map(ToString::to_string).unwrap_or_default(),
            paths: self.source.tree.len(),
            ignore_file: self.source.left_out.map(|left_out| left_out.file.to_owned()),
            left_out: self.source.left_out.map_or(0, |left_out| left_out.paths),
            newest: self.source.newest_mtime,
            checkout: self.source.checkout.clone(),
        }
    }

    fn run_config(&self, start: &CommandLine) -> RunConfig {
        let settings = &self.settings;
        let port = settings.port.value.to_string();
        let more = settings.port_env.iter().map(|name| (name.value.clone(), port.clone()));
        let env =
            std::iter::once(("PORT".to_owned(), port.clone())).chain(more).chain(settings.run_env.pairs());
        RunConfig {
            cmd: start.command.to_cmd(),
            env: env.collect(),
            working_dir: Plan::working_dir(self.directory.as_ref()),
            port: settings.port.value,
            user: settings.user.as_ref().map(|user| user.value),
            labels: settings.labels.pairs().into_iter().collect(),
        }
    }

    /// Where each value came from. Commands carry it themselves.
    fn origins(&self, args: &SourceArgs, chosen: &Chosen<'_>, context: &Context) -> BTreeMap<String, Origin> {
        let settings = &self.settings;
        let mut origins = BTreeMap::new();
        let mut from = |name: &str, origin: &Origin| {
            origins.insert(name.to_owned(), origin.clone());
        };
        from("runtime", &chosen.runtime);
        from("runtime-version", &chosen.version);
        from("command", &settings.start.origin);
        from("port", &settings.port.origin);
        if let Some(name) = &settings.port_env {
            from("port-env", &name.origin);
        }
        from("user", settings.user.as_ref().map_or(&Origin::Default, |user| &user.origin));
        let named = [
            ("build-env", &settings.build_env),
            ("env", &settings.run_env),
            ("run-secret", &settings.run_secrets),
            ("label", &settings.labels),
            ("annotation", &settings.annotations),
        ];
        for (kind, values) in named {
            values.iter().for_each(|(name, set)| from(&format!("{kind}.{name}"), &set.origin));
        }
        if self.address.directory().is_some() {
            from("source-dir", &Origin::Flag("SOURCE".to_owned()));
        }
        for (name, id, is_given) in [
            ("source-dir", "source_dir", args.source_dir.is_some()),
            ("config", "config", args.config.is_some()),
        ] {
            if is_given {
                from(name, &context.origin(id));
            }
        }
        origins
    }
}

fn choice(trusted: &Trusted, chosen: &Chosen<'_>, uses_npm: bool) -> RuntimeChoice {
    let resolution = &chosen.resolution;
    let (catalog, entry) = (&trusted.catalog, resolution.entry);
    let reasons: Vec<String> = resolution.reasons.iter().map(ToString::to_string).collect();
    let is_node = catalog.runtimes.get(&entry.runtime).is_some_and(|runtime| runtime.language == "node");
    let overrides =
        matches!(resolution.status, Status::Eol | Status::Revoked).then(|| permission(&entry.id, resolution));
    RuntimeChoice {
        request: chosen.request.to_string(),
        entry: entry.id.clone(),
        reason: reasons.join("; "),
        catalog: catalog.name.clone(),
        revision: entry.added_in,
        revision_digest: trusted.digest_of(entry.added_in),
        run_image: if is_node && uses_npm { ImageKind::RunNpm } else { ImageKind::Run },
        build_image: ImageKind::BuildFull,
        overrides: overrides.into_iter().chain(trusted.overrides.clone()).collect(),
        is_checked: trusted.is_checked,
    }
}

/// What was permitted, and why, as the image records it.
fn permission(id: &EntryId, resolution: &Resolution<'_>) -> String {
    let taken = format!("{id} was taken by permission although it is {}", resolution.status);
    let reason = resolution.warnings.iter().find_map(|warning| match warning {
        Warning::Revoked { permission, .. } => Some(permission),
        _ => None,
    });
    reason.map_or(taken.clone(), |reason| format!("{taken}: {reason}"))
}

/// Today, in UTC.
#[must_use]
pub fn today(context: &Context) -> Date {
    Date::from(context.now)
}

/// What was permitted on the command line.
pub(crate) fn permissions(args: &PermissionArgs) -> Result<Permissions, Failure> {
    let reason = args.reason.clone().unwrap_or_default();
    if !args.allow_revoked.is_empty() && reason.trim().is_empty() {
        return Err(Failure::new(Exit::NotUnderstood, "a revoked entry is permitted for a `--reason`"));
    }
    let revoked = permitted("--allow-revoked", &args.allow_revoked)?;
    Ok(Permissions {
        allow_eol: permitted("--allow-eol", &args.allow_eol)?,
        allow_revoked: revoked.into_iter().map(|id| (id, reason.clone())).collect(),
        ..Permissions::default()
    })
}

/// The entries that an option names.
fn permitted(option: &str, ids: &[String]) -> Result<Vec<EntryId>, Failure> {
    let parse = |id: &String| {
        id.parse::<EntryId>()
            .map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`{option}`: {cause}")))
    };
    ids.iter().map(parse).collect()
}

/// The platforms of the image, each once.
fn platforms(args: &SourceArgs) -> Result<Vec<PlatformKey>, Failure> {
    let mut platforms: Vec<PlatformKey> = Vec::new();
    for text in &args.platform {
        let platform = text
            .parse()
            .map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--platform`: {cause}")))?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(host_platform()?);
    }
    Ok(platforms)
}
