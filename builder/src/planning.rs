//! From what an app asks for to the plan of its build: every decision, and where each came from.

use std::collections::BTreeMap;

use lapstrake_catalog::{
    Catalog, Date, EntryId, ImageKind, Permissions, PlatformKey, Request, Resolution, Status, VersionRequest,
};

use crate::app_file::{self, Diagnostic, Located, Rule, Severity, render};
use crate::cli::SourceArgs;
use crate::command_line::CommandLine;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::image_config::RunConfig;
use crate::inputs::Inputs;
use crate::output::Output;
use crate::package_json;
use crate::plan::{Plan, RuntimeChoice, SourceFacts};
use crate::platform::host_platform;
use crate::source::SourceKind;
use crate::steps::{Phase, PlannedStep};

impl Inputs {
    /// Decides everything that a build does.
    pub fn plan(
        &self,
        args: &SourceArgs,
        catalog: &Catalog,
        outputs: &[Output],
        context: &Context,
    ) -> Result<Plan, Failure> {
        let platforms = platforms(args)?;
        let start = self.start()?;
        let resolution = self.resolve(args, catalog, &platforms, context)?;
        for warning in &resolution.warnings {
            context.report.warning(&warning.to_string());
        }
        let build_env = pairs(&self.app_file.build.env);
        Ok(Plan {
            source: self.source_facts(args),
            app_file: self.app_file_name.clone(),
            runtime: self.choice(args, catalog, &resolution, start.command.uses_npm()),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            steps: self.steps(),
            build_env,
            run: self.run_config(&start),
            start: start.reason.to_string(),
            secrets: self.secrets(),
            origins: self.origins(args),
            destinations: outputs.iter().map(ToString::to_string).collect(),
        })
    }

    fn start(&self) -> Result<CommandLine, Failure> {
        let command = &self.app_file.run.command;
        CommandLine::parse(&command.value).map_err(|cause| {
            let diagnostic =
                Diagnostic::error(Rule::StartCommand, &self.app_file_name, command.at, cause.to_string());
            Failure::rendered(Exit::NotUnderstood, render(&diagnostic, &self.text).trim_end())
        })
    }

    fn resolve<'c>(
        &self,
        args: &SourceArgs,
        catalog: &'c Catalog,
        platforms: &[PlatformKey],
        context: &Context,
    ) -> Result<Resolution<'c>, Failure> {
        let engines = self.engines(context)?;
        let request = self.request(args, engines.as_ref().map(|(_, range)| range.value.as_str()))?;
        let as_of = today(context);
        let resolved = catalog.resolve(&request, platforms, as_of, &permissions(args)?);
        resolved.map_err(|error| {
            if args.runtime_version.is_some() {
                let failure = Failure::new(Exit::NotUnderstood, error.to_string());
                return match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                };
            }
            let diagnostic = match &engines {
                Some((file, range)) => app_file::refusal_with_engines(
                    &self.app_file_name,
                    &self.app_file,
                    &error,
                    (file, range.at.start),
                ),
                None => app_file::refusal(&self.app_file_name, &self.app_file, &error),
            };
            Failure::rendered(Exit::NotUnderstood, render(&diagnostic, &self.text).trim_end())
        })
    }

    fn request(&self, args: &SourceArgs, engines: Option<&str>) -> Result<Request, Failure> {
        let mut request = Request::new(&self.app_file.runtime.value);
        let flag = args.runtime_version.as_deref().map(str::parse::<VersionRequest>).transpose();
        let flag =
            flag.map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--runtime-version`: {cause}")))?;
        if let Some(version) =
            flag.or_else(|| self.app_file.run.runtime_version.as_ref().map(|version| version.value.clone()))
        {
            request = request.with_version(version);
        }
        Ok(match engines {
            Some(range) => request.with_engines(range),
            None => request,
        })
    }

    /// The file and the range of `engines.node`, from the `package.json` of the source directory.
    fn engines(&self, context: &Context) -> Result<Option<(String, Located<String>)>, Failure> {
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

    fn choice(
        &self,
        args: &SourceArgs,
        catalog: &Catalog,
        resolution: &Resolution<'_>,
        uses_npm: bool,
    ) -> RuntimeChoice {
        let entry = resolution.entry;
        let lock = args
            .runtime_version
            .clone()
            .or_else(|| self.app_file.run.runtime_version.as_ref().map(|version| version.value.to_string()));
        let request =
            std::iter::once(self.app_file.runtime.value.clone()).chain(lock).collect::<Vec<_>>().join(" ");
        let reasons: Vec<String> = resolution.reasons.iter().map(ToString::to_string).collect();
        let is_node = catalog.runtimes.get(&entry.runtime).is_some_and(|runtime| runtime.language == "node");
        let overrides = matches!(resolution.status, Status::Eol | Status::Revoked)
            .then(|| format!("{} was taken by permission although it is {}", entry.id, resolution.status));
        RuntimeChoice {
            request,
            entry: entry.id.clone(),
            reason: reasons.join("; "),
            catalog: catalog.name.clone(),
            revision: entry.added_in,
            run_image: if is_node && uses_npm { ImageKind::RunNpm } else { ImageKind::Run },
            build_image: ImageKind::BuildFull,
            overrides: overrides.into_iter().collect(),
        }
    }

    fn source_facts(&self, args: &SourceArgs) -> SourceFacts {
        SourceFacts {
            given: args.source.clone(),
            kind: match self.source.kind {
                SourceKind::Directory => "directory".to_owned(),
                SourceKind::Archive(compression) => format!("tar archive ({compression:?})").to_lowercase(),
            },
            digest: self.source.digest.clone(),
            directory: self.directory.as_ref().map(ToString::to_string).unwrap_or_default(),
            paths: self.source.tree.len(),
            newest: self.source.newest_mtime,
        }
    }

    fn steps(&self) -> Vec<PlannedStep> {
        let app = &self.app_file;
        let phases = [
            (Phase::PreBuild, &app.build.pre_build),
            (Phase::Build, &app.build.build),
            (Phase::PostBuild, &app.build.post_build),
            (Phase::PreRun, &app.run.pre_run),
        ];
        let step = |phase| {
            move |command: &app_file::Command| PlannedStep {
                phase,
                command: command.text.clone(),
                line: Some(command.line),
            }
        };
        phases.into_iter().flat_map(|(phase, commands)| commands.iter().map(step(phase))).collect()
    }

    fn run_config(&self, start: &CommandLine) -> RunConfig {
        let network = &self.app_file.run.network;
        let port = network.port.to_string();
        let more = network.env.iter().map(|name| (name.value.clone(), port.clone()));
        let env = std::iter::once(("PORT".to_owned(), port.clone()))
            .chain(more)
            .chain(pairs(&self.app_file.run.env));
        RunConfig {
            cmd: start.command.to_cmd(),
            env: env.collect(),
            working_dir: Plan::working_dir(self.directory.as_ref()),
            port: network.port,
            user: format!("{0}:{0}", crate::changes::APP_OWNER.uid),
            labels: BTreeMap::new(),
        }
    }

    fn secrets(&self) -> BTreeMap<String, String> {
        let secrets = self.app_file.run.secrets.iter();
        secrets.map(|secret| (secret.name.value.clone(), secret.value_from.value.clone())).collect()
    }

    fn origins(&self, args: &SourceArgs) -> BTreeMap<String, String> {
        let from_file = |line: usize| format!("{}:{line}", self.app_file_name);
        let mut origins =
            BTreeMap::from([("runtime".to_owned(), from_file(self.app_file.runtime.at.start.line))]);
        let lock = self.app_file.run.runtime_version.as_ref();
        let version = match (&args.runtime_version, lock) {
            (Some(_), _) => "--runtime-version".to_owned(),
            (None, Some(version)) => from_file(version.at.start.line),
            (None, None) => "the newest that the catalog gives".to_owned(),
        };
        origins.insert("runtime-version".to_owned(), version);
        origins.insert("command".to_owned(), from_file(self.app_file.run.command.at.start.line));
        origins
    }
}

fn pairs(variables: &[app_file::Variable]) -> Vec<(String, String)> {
    variables.iter().map(|variable| (variable.name.value.clone(), variable.value.value.clone())).collect()
}

/// Today, in UTC.
#[must_use]
pub fn today(context: &Context) -> Date {
    Date::from(context.now)
}

/// What was permitted on the command line.
fn permissions(args: &SourceArgs) -> Result<Permissions, Failure> {
    let parse = |id: &String| {
        id.parse::<EntryId>()
            .map_err(|cause| Failure::new(Exit::NotUnderstood, format!("`--allow-eol`: {cause}")))
    };
    let allow_eol = args.allow_eol.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Permissions { allow_eol, ..Permissions::default() })
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
