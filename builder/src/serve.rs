//! Starts an image on this machine without a container engine.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lapstrake_oci::image::{BlobSource, Image};
use lapstrake_sandbox::{Event, Forward, Identity, Limits, Network, Root, Spec, Step};
use oci_spec::image::{Digest, ImageConfiguration};

use crate::cli::RunNetwork;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::Stream;
use crate::rootfs::Rootfs;
use crate::scratch::Scratch;
use crate::steps::sandbox_failure;

/// How long an app may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// How an image is started.
pub struct Start<'a> {
    /// The port of this machine; the app's own if absent.
    pub port: Option<u16>,
    /// Variables that replace those of the image.
    pub env: &'a [(String, String)],
    /// What the app reaches.
    pub network: RunNetwork,
}

/// What a sandbox needs to start an image.
pub fn prepared(
    image: &Image,
    start: &Start<'_>,
    scratch: &Scratch,
    context: &Context,
) -> Result<(Spec, Step), Failure> {
    let config: ImageConfiguration = image
        .config
        .parse()
        .map_err(|cause| Failure::because(Exit::Refused, "the image's config is not understood", cause))?;
    let settings = Settings::of(&config, start)?;
    let layers = unpack(image, &config, scratch, context)?;
    let spec = Spec {
        isolation: context.isolation,
        root: Root { lower: layers.into_iter().rev().collect(), scratch: scratch.directory("run")? },
        mounts: Vec::new(),
        files: Vec::new(),
        hostname: "app".to_owned(),
        identity: settings.identity,
        network: match start.network {
            RunNetwork::Host => Network::Host,
            RunNetwork::Forward => Network::Forward(Forward {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, start.port.unwrap_or(settings.port))),
                port: settings.port,
            }),
        },
        limits: Limits { time: None, grace: GRACE, ..context.limits.commands.clone() },
        build_uid: context.build_uid,
    };
    Ok((spec, Step { argv: settings.argv, env: settings.env, cwd: settings.working_dir }))
}

/// Runs an image until it ends or the command is asked to stop.
pub fn serve(image: &Image, start: &Start<'_>, scratch: &Scratch, context: &Context) -> Result<(), Failure> {
    let (spec, step) = prepared(image, start, scratch, context)?;
    let report = &context.report;
    let outcome = lapstrake_sandbox::serve(&spec, &step, &context.stop.flag(), &mut |event| match event {
        Event::Listening { address } => {
            report.note(&format!("serving on http://{address} (Ctrl-C stops it)"));
        }
        Event::Output { stream: lapstrake_sandbox::Stream::Stdout, line, .. } => {
            report.output("app", Stream::Out, &line);
        }
        Event::Output { stream: lapstrake_sandbox::Stream::Stderr, line, .. } => {
            report.output("app", Stream::Err, &line);
        }
        Event::Notice { text } => report.warning(&text),
        _ => {}
    })
    .map_err(|cause| sandbox_failure(cause, "could not start the image"))?;
    match outcome.result {
        _ if context.stop.is_asked() => Ok(()),
        Ok(()) => Ok(()),
        Err(failed) => Err(Failure::new(Exit::AppFailed, format!("the app stopped: {}", failed.failure))),
    }
}

/// What the config says of the start.
struct Settings {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    working_dir: PathBuf,
    port: u16,
    identity: Identity,
}

impl Settings {
    fn of(config: &ImageConfiguration, start: &Start<'_>) -> Result<Self, Failure> {
        let nothing = || Failure::new(Exit::NotUnderstood, "the image says nothing of what it starts");
        let run = config.config().as_ref().ok_or_else(nothing)?;
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let argv: Vec<String> = words(run.entrypoint()).into_iter().chain(words(run.cmd())).collect();
        if argv.is_empty() {
            return Err(nothing());
        }
        let image_env = words(run.env())
            .into_iter()
            .filter_map(|pair| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())));
        let mut env: BTreeMap<String, String> = image_env.chain(start.env.iter().cloned()).collect();
        let exposed = words(run.exposed_ports()).iter().find_map(|port| port.split('/').next()?.parse().ok());
        let port = env.get("PORT").and_then(|port| port.parse().ok()).or(exposed).unwrap_or(8080);
        if start.network == RunNetwork::Host
            && let Some(port) = start.port
        {
            env.insert("PORT".to_owned(), port.to_string());
        }
        env.entry("HOME".to_owned()).or_insert_with(|| crate::tool_env::HOME.to_owned());
        let working_dir = run
            .working_dir()
            .clone()
            .filter(|directory| !directory.is_empty())
            .unwrap_or_else(|| "/".to_owned());
        Ok(Self {
            argv,
            env,
            working_dir: working_dir.into(),
            port,
            identity: identity(run.user().as_deref()),
        })
    }
}

/// The sandbox has one user; a name or root becomes the ordinary one.
fn identity(user: Option<&str>) -> Identity {
    let mut numbers =
        user.unwrap_or_default().split(':').map(|part| part.parse::<u32>().ok().filter(|id| *id != 0));
    let default = Identity::default();
    let uid = numbers.next().flatten().unwrap_or(default.uid);
    Identity { uid, gid: numbers.next().flatten().unwrap_or(uid) }
}

/// Unpacks the layers, lowest first. Those of the runtime stay for the next time; those of the app go with the scratch.
fn unpack(
    image: &Image,
    config: &ImageConfiguration,
    scratch: &Scratch,
    context: &Context,
) -> Result<Vec<PathBuf>, Failure> {
    let bad = |cause| Failure::because(Exit::Refused, "the image's config is not understood", cause);
    let diff_ids: Vec<Digest> =
        config.rootfs().diff_ids().iter().map(|id| id.parse()).collect::<Result<_, _>>().map_err(bad)?;
    if diff_ids.len() != image.layers.len() {
        return Err(Failure::new(
            Exit::Refused,
            format!("the image has {} layers and {} diff_ids", image.layers.len(), diff_ids.len()),
        ));
    }
    let runtime = runtime_layers(config);
    let kept = Rootfs::new(&context.data_dir, context.build_uid);
    let passing = Rootfs::new(scratch.path(), context.build_uid);
    let mut directories = Vec::new();
    for (number, (layer, diff_id)) in image.layers.iter().zip(&diff_ids).enumerate() {
        let BlobSource::File(file) = &layer.source else {
            return Err(Failure::new(Exit::Ours, "a layer of the image is not on this machine"));
        };
        let place = if number < runtime { &kept } else { &passing };
        directories.push(place.layer(Path::new(file), &layer.descriptor, diff_id)?);
    }
    Ok(directories)
}

fn runtime_layers(config: &ImageConfiguration) -> usize {
    let labels = config.config().as_ref().and_then(|run| run.labels().as_ref());
    labels
        .and_then(|labels| labels.get("dev.lapstrake.layers.runtime"))
        .and_then(|count| count.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &serde_json::Value) -> ImageConfiguration {
        serde_json::from_value(serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}, "config": json,
        }))
        .unwrap()
    }

    fn start(env: &[(String, String)]) -> Start<'_> {
        Start { port: None, env, network: RunNetwork::Forward }
    }

    #[test]
    fn an_image_starts_as_its_config_says() {
        let config = config(&serde_json::json!({
            "Entrypoint": ["/init"], "Cmd": ["app"], "Env": ["PORT=3000", "A=b=c"], "WorkingDir": "/app", "User": "1000:1001",
        }));
        let settings = Settings::of(&config, &start(&[("A".to_owned(), "d".to_owned())])).unwrap();
        assert_eq!(settings.argv, ["/init", "app"]);
        assert_eq!((settings.port, settings.env["A"].as_str()), (3000, "d"));
        assert_eq!(settings.identity, Identity { uid: 1000, gid: 1001 });
    }

    #[test]
    fn an_image_without_a_command_is_refused_and_root_becomes_an_ordinary_user() {
        assert_eq!(
            Settings::of(&config(&serde_json::json!({})), &start(&[])).err().unwrap().exit,
            Exit::NotUnderstood
        );
        assert_eq!(identity(Some("0:0")), Identity::default());
        assert_eq!(identity(Some("root")), Identity::default());
        assert_eq!(identity(None), Identity::default());
    }
}
