//! The config document of an app image (image-spec, config.md).

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapstrake_oci::tree::Owner;
use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Digest, History, HistoryBuilder, ImageConfiguration,
    ImageConfigurationBuilder, Os, RootFsBuilder,
};

use crate::changes::APP_OWNER;

/// What an image starts, and how.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunConfig {
    /// The start command, as an argument vector.
    pub cmd: Vec<String>,
    /// The environment, in the order in which it was decided; a later value replaces an earlier one of its name.
    pub env: Vec<(String, String)>,
    /// The working directory, absolute.
    pub working_dir: String,
    /// The port that the app listens on.
    pub port: u16,
    /// The user and group that the app runs as; those of the runtime unless they were given.
    #[serde(serialize_with = "user_and_group")]
    pub user: Option<Owner>,
    /// Labels; the same pairs become annotations of the manifest.
    pub labels: BTreeMap<String, String>,
}

impl RunConfig {
    /// The user and group that the app runs as, and that own `/app`.
    #[must_use]
    pub fn user(&self) -> Owner {
        self.user.unwrap_or(APP_OWNER)
    }
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn user_and_group<S: serde::Serializer>(user: &Option<Owner>, serializer: S) -> Result<S::Ok, S::Error> {
    match user {
        Some(Owner { uid, gid }) => serializer.collect_str(&format_args!("{uid}:{gid}")),
        None => serializer.serialize_none(),
    }
}

/// A layer as the config names it.
pub struct ConfigLayer<'a> {
    /// The digest of its uncompressed tar archive.
    pub diff_id: &'a Digest,
    /// What made it, for the history.
    pub created_by: String,
}

/// Writes the config document for one platform.
pub fn image_config(
    run: &RunConfig,
    os: &Os,
    architecture: &Arch,
    layers: &[ConfigLayer<'_>],
    created: Timestamp,
) -> Result<ImageConfiguration, OciSpecError> {
    let created = created.to_string();
    let history: Result<Vec<History>, _> = layers
        .iter()
        .map(|layer| {
            HistoryBuilder::default().created(created.clone()).created_by(layer.created_by.clone()).build()
        })
        .collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    ImageConfigurationBuilder::default()
        .created(created)
        .os(os.clone())
        .architecture(architecture.clone())
        .config(config(run)?)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
        .history(history?)
        .build()
}

fn config(run: &RunConfig) -> Result<Config, OciSpecError> {
    let Owner { uid, gid } = run.user();
    ConfigBuilder::default()
        .user(format!("{uid}:{gid}"))
        .exposed_ports(vec![format!("{}/tcp", run.port)])
        .env(environment(&run.env))
        .cmd(run.cmd.clone())
        .working_dir(run.working_dir.clone())
        .labels(run.labels.clone().into_iter().collect::<Labels>())
        .build()
}

#[expect(
    clippy::disallowed_types,
    reason = "the type of oci-spec; the document is sorted when it is written"
)]
type Labels = std::collections::HashMap<String, String>;

/// `NAME=value` pairs, each name once, in the order in which the names first came.
fn environment(pairs: &[(String, String)]) -> Vec<String> {
    let mut order: Vec<&str> = Vec::new();
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in pairs {
        if values.insert(name, value).is_none() {
            order.push(name);
        }
    }
    order.iter().map(|name| format!("{name}={}", values[name])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_value_replaces_an_earlier_one_at_its_place() {
        let pairs = [("A", "1"), ("B", "2"), ("A", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(environment(&pairs), ["A=3", "B=2"]);
    }

    // row 34
    #[test]
    fn the_config_says_how_the_app_starts() {
        let run = RunConfig {
            cmd: vec!["python3".into(), "server.py".into()],
            env: vec![("PORT".into(), "8080".into())],
            working_dir: "/app".into(),
            port: 8080,
            user: None,
            labels: BTreeMap::from([("a".into(), "b".into())]),
        };
        let diff_id: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let layers = [ConfigLayer { diff_id: &diff_id, created_by: "app".into() }];
        let config = image_config(&run, &Os::Linux, &Arch::Amd64, &layers, Timestamp::UNIX_EPOCH).unwrap();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["config"]["Cmd"], serde_json::json!(["python3", "server.py"]));
        assert_eq!(json["config"]["ExposedPorts"], serde_json::json!({"8080/tcp": {}}));
        assert_eq!(json["config"]["User"], "1000:1000");
        assert_eq!(json["created"], "1970-01-01T00:00:00Z");
        assert_eq!(
            json["rootfs"]["diff_ids"].as_array().unwrap().len(),
            json["history"].as_array().unwrap().len()
        );
    }
}
