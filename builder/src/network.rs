//! What build commands reach, and what installers must know for it: addresses of package indexes, logins for them,
//! certificates. All of it is for the time of the build; none of it is part of a layer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapstrake_runtimes::mirrors::{Ask, Auth, Endpoint, Machine, Mirrors, NoPrograms, Programs, defaults};
use lapstrake_sandbox::{
    Authority, HostPort, MemoryFile, Mount, Network, PROXY_URL, ProxyMode, ProxyPolicy, Upstream,
};
use url::Url;

use crate::app_registries::AppRegistries;
use crate::cli::{NetworkArgs, NetworkMode};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::secrets::Hidden;
use crate::steps::hand_over;
use crate::tool_env::{CA_BUNDLE, Indexes, NPM_CONFIG};

/// Where programs of the build image look for authorities by themselves.
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where pip keeps the addresses of its index, among the packages of a python.
const PIP_INDEXES: &str = "pip/_internal/models/index.py";

/// Where npm keeps its own settings, in a layer that has it.
const NPM_SETTINGS: &str =
    "usr/local/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js";

/// The source in which the pip of a layer says where packages are.
fn pip_source(layer: &Path) -> Option<String> {
    let pythons = fs_err::read_dir(layer.join("usr/local/lib")).ok()?.filter_map(Result::ok);
    let places = pythons.flat_map(|python| {
        ["dist-packages", "site-packages"].map(|packages| python.path().join(packages).join(PIP_INDEXES))
    });
    places.into_iter().find_map(|place| fs_err::read_to_string(place).ok())
}

/// The network of a build.
#[derive(Clone)]
pub struct BuildNetwork {
    /// What commands reach.
    pub mode: Network,
    /// Files that commands need for it.
    pub mounts: Vec<Mount>,
    /// The same, of what must not lie on a disk.
    pub files: Vec<MemoryFile>,
    /// The logins among what commands are told, and the one on the way out.
    pub logins: Vec<Hidden>,
    /// The hosts of the package indexes.
    pub index_hosts: Vec<HostPort>,
    npm_registry: Option<String>,
    npm_login: Option<Auth>,
    python_index: Option<String>,
    has_ca: bool,
    has_npm_config: bool,
}

impl BuildNetwork {
    /// What installers are told.
    #[must_use]
    pub fn indexes<'a>(&'a self, npm: Option<&'a str>, app: AppRegistries) -> Indexes<'a> {
        Indexes {
            npm_registry: self.npm_registry.as_deref(),
            python_index: self.python_index.as_deref(),
            proxy: matches!(self.mode, Network::Proxy(_)).then_some(PROXY_URL),
            ca_bundle: self.has_ca,
            npm_config: self.has_npm_config,
            npm_login: self.npm_login.as_ref(),
            app,
            npm,
            ..Indexes::default()
        }
    }

    /// Takes the indexes that the npm and pip of a build image take by themselves, where none are configured: yarn and
    /// corepack would ask hosts of their own otherwise, and where only indexes may be reached it must be known which.
    #[must_use]
    pub fn or_registry_of(mut self, layers: &[PathBuf]) -> Self {
        let mut hosts = Vec::new();
        if self.npm_registry.is_none() {
            let source =
                layers.iter().find_map(|layer| fs_err::read_to_string(layer.join(NPM_SETTINGS)).ok());
            let url = source.as_deref().and_then(defaults::npm_registry);
            hosts.extend(url.as_ref().and_then(HostPort::of));
            self.npm_registry = url.map(|url| url.to_string());
        }
        if self.python_index.is_none() {
            let source = layers.iter().find_map(|layer| pip_source(layer));
            hosts.extend(
                source
                    .as_deref()
                    .map(defaults::python_index_hosts)
                    .unwrap_or_default()
                    .iter()
                    .map(|host| HostPort::new(host, 443)),
            );
        }
        if let Network::Proxy(policy) = &mut self.mode
            && policy.mode == ProxyMode::ListedOnly
        {
            policy.listed.extend(hosts.clone());
        }
        self.with_indexes(hosts)
    }

    /// Knows these as package indexes as well.
    #[must_use]
    pub fn with_indexes(mut self, hosts: Vec<HostPort>) -> Self {
        self.index_hosts.extend(hosts);
        self
    }
}

/// Finds out where packages come from on this machine.
pub fn mirrors(context: &Context) -> Result<Mirrors, Failure> {
    discover(context, &Programs { env: &context.env })
}

/// The hosts of the registries that this machine is configured for, and those of `--allow-host`.
pub fn registry_hosts(args: &NetworkArgs, context: &Context) -> Result<Vec<HostPort>, Failure> {
    let mirrors = discover(context, &NoPrograms)?;
    let indexes: Vec<&Endpoint> =
        mirrors.npm.iter().chain(&mirrors.python).chain(&mirrors.python_extra).collect();
    Ok(policy(ProxyMode::ListedOnly, args, &mirrors, &indexes).listed)
}

fn discover(context: &Context, ask: &dyn Ask) -> Result<Mirrors, Failure> {
    Mirrors::discover(&context.mirrors, Machine { env: &context.env, root: Path::new("/"), ask }).map_err(
        |cause| Failure::because(Exit::NotUnderstood, "could not find out where packages come from", cause),
    )
}

/// Prepares the network of build commands. Files that they need are written into `scratch`; from now on the report shows
/// no login.
pub fn network(args: &NetworkArgs, context: &Context, scratch: &Path) -> Result<BuildNetwork, Failure> {
    // What npm and pip take when nothing is configured, they know themselves inside the sandbox; asking them costs more
    // than everything else before the first command.
    let mirrors = discover(context, &NoPrograms)?;
    let indexes: Vec<&Endpoint> =
        mirrors.npm.iter().chain(&mirrors.python).chain(&mirrors.python_extra).collect();
    let mut network = BuildNetwork {
        mode: match args.network {
            NetworkMode::None => Network::None,
            NetworkMode::Open => Network::Host,
            NetworkMode::Proxy => Network::Proxy(policy(ProxyMode::Public, args, &mirrors, &indexes)),
            NetworkMode::Registries => {
                Network::Proxy(policy(ProxyMode::ListedOnly, args, &mirrors, &indexes))
            }
        },
        mounts: Vec::new(),
        files: Vec::new(),
        logins: logins(&mirrors),
        index_hosts: hosts_of(&indexes).collect(),
        npm_registry: mirrors.npm.as_ref().map(|endpoint| endpoint.url.to_string()),
        npm_login: mirrors.npm.as_ref().and_then(|endpoint| endpoint.auth.clone()),
        python_index: mirrors.python.as_ref().map(address_with_login),
        has_ca: false,
        has_npm_config: false,
    };
    context.report.hide(&network.logins);
    if args.network == NetworkMode::None {
        return Ok(network);
    }
    let extra = indexes.iter().flat_map(|endpoint| &endpoint.ca_files).chain(&context.authorities);
    let mut bundle = authorities(mirrors.ca_files.iter().chain(extra))?;
    if let Network::Proxy(policy) = &mut network.mode {
        if bundle.is_empty() {
            let text = "this machine trusts no certificate authority, so that what build commands fetch over TLS is \
                        not recorded";
            context.report.warning(text);
        } else {
            let authority = Authority::new(&bundle).map_err(|cause| {
                Failure::io("could not make the certificate authority of the build's proxy", cause)
            })?;
            bundle.extend_from_slice(authority.certificate().as_bytes());
            policy.authority = Some(Arc::new(authority));
        }
    }
    if !bundle.is_empty() {
        let bundle = write(scratch, "ca.crt", &bundle)?;
        hand_over(&bundle, context.build_uid)?;
        network.mounts.push(Mount::read_only(&bundle, CA_BUNDLE));
        // For programs that none of the variables reaches.
        network.mounts.push(Mount::read_only(bundle, SYSTEM_BUNDLE));
        network.has_ca = true;
    }
    if let Some(login) = mirrors.npm.as_ref().and_then(npm_login) {
        network.files.push(MemoryFile { target: NPM_CONFIG.into(), content: login.into_bytes() });
        network.has_npm_config = true;
    }
    Ok(network)
}

/// The hosts of some indexes.
fn hosts_of(indexes: &[&Endpoint]) -> impl Iterator<Item = HostPort> {
    indexes
        .iter()
        .flat_map(|endpoint| std::iter::once(&endpoint.url).chain(&endpoint.more))
        .filter_map(HostPort::of)
}

fn policy(mode: ProxyMode, args: &NetworkArgs, mirrors: &Mirrors, indexes: &[&Endpoint]) -> ProxyPolicy {
    let listed = hosts_of(indexes).chain(args.allow_hosts.iter().map(|allowed| allowed.0.clone())).collect();
    let proxy = mirrors.proxy.https.as_ref().or(mirrors.proxy.http.as_ref());
    let upstream =
        proxy.map(|url| Upstream { url: url.reveal().clone(), no_proxy: mirrors.proxy.no_proxy.clone() });
    ProxyPolicy { mode, listed, upstream, authority: None }
}

/// pip knows logins as part of an address only, unless a netrc file is in the home directory.
fn address_with_login(endpoint: &Endpoint) -> String {
    let mut url = endpoint.url.clone();
    if let Some(Auth::Basic { user, password }) = &endpoint.auth {
        // An address without a host takes no login, and has none.
        let _ = url.set_username(user);
        let _ = url.set_password(Some(password.reveal()));
    }
    url.to_string()
}

/// The lines of an `.npmrc` that log in to the registry.
fn npm_login(endpoint: &Endpoint) -> Option<String> {
    let place = nerf_dart(&endpoint.url);
    let mut text = String::new();
    match endpoint.auth.as_ref()? {
        Auth::Bearer(token) => {
            let _ = writeln!(text, "{place}:_authToken={}", token.reveal());
        }
        Auth::Basic { user, password } => {
            let _ = writeln!(text, "{place}:username={user}");
            let _ = writeln!(text, "{place}:_password={}", base64(password.reveal().as_bytes()));
        }
    }
    Some(text)
}

/// The logins of this machine. Commands have those of the indexes; the proxy's stays with this program.
fn logins(mirrors: &Mirrors) -> Vec<Hidden> {
    let npm = mirrors.npm.iter().map(|endpoint| ("the login of the npm registry", endpoint));
    let python = mirrors.python.iter().map(|endpoint| ("the login of the Python index", endpoint));
    let extra = mirrors.python_extra.iter().map(|endpoint| ("the login of an extra Python index", endpoint));
    let indexes = npm.chain(python).chain(extra).filter_map(|(name, endpoint)| {
        Some(match endpoint.auth.as_ref()? {
            Auth::Bearer(token) => Hidden::login(name, None, token.reveal()),
            Auth::Basic { user, password } => Hidden::login(name, Some(user), password.reveal()),
        })
    });
    let proxies = [&mirrors.proxy.https, &mirrors.proxy.http].into_iter().flatten();
    let proxies = proxies.map(|url| Hidden::logins_in("the login of the proxy", url.reveal().as_str()));
    indexes.chain(proxies.map(Hidden::masked_only)).collect()
}

/// npm's name for a registry in its configuration: the address without its scheme.
fn nerf_dart(url: &Url) -> String {
    let scheme = url.scheme().len() + 1;
    url.as_str()[scheme..].to_owned()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The files of certificate authorities that this machine trusts.
pub(crate) fn ca_files(context: &Context) -> Result<Vec<PathBuf>, Failure> {
    discover(context, &NoPrograms).map(|mirrors| mirrors.ca_files)
}

/// One bundle of all authorities that this machine trusts; none if it has no bundle.
pub(crate) fn ca_bundle<'a>(
    files: impl Iterator<Item = &'a PathBuf>,
    scratch: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let bundle = authorities(files)?;
    if bundle.is_empty() { Ok(None) } else { write(scratch, "ca.crt", &bundle).map(Some) }
}

/// The certificates in all of these files, one after the other.
fn authorities<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<u8>, Failure> {
    let mut bundle = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for file in files.filter(|file| file.is_file()) {
        let name = file.canonicalize().unwrap_or_else(|_| file.clone());
        if seen.insert(name) {
            let bytes = fs_err::read(file)
                .map_err(|cause| Failure::io("could not read the machine's certificates", cause))?;
            bundle.extend_from_slice(&bytes);
            bundle.push(b'\n');
        }
    }
    Ok(bundle)
}

fn write(scratch: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let path = scratch.join(name);
    fs_err::write(&path, bytes)
        .map_err(|cause| Failure::io("could not write a file for the build commands", cause))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapstrake_runtimes::mirrors::Secret;

    fn endpoint(url: &str, auth: Option<Auth>) -> Endpoint {
        Endpoint {
            url: url.parse().unwrap(),
            more: Vec::new(),
            auth,
            ca_files: Vec::new(),
            proxy: lapstrake_runtimes::mirrors::Proxy::default(),
        }
    }

    #[test]
    fn logins_reach_installers_in_the_form_that_they_know() {
        let basic = || Some(Auth::Basic { user: "me".into(), password: Secret::new("p w".to_owned()) });
        let index = endpoint("https://index.example/simple/", basic());
        assert_eq!(address_with_login(&index), "https://me:p%20w@index.example/simple/");
        let registry =
            endpoint("https://npm.example:8443/team/", Some(Auth::Bearer(Secret::new("t".to_owned()))));
        assert_eq!(npm_login(&registry).unwrap(), "//npm.example:8443/team/:_authToken=t\n");
        assert_eq!(
            npm_login(&endpoint("https://npm.example/", basic())).unwrap(),
            "//npm.example/:username=me\n//npm.example/:_password=cCB3\n"
        );
        assert_eq!(npm_login(&endpoint("https://npm.example/", None)), None);
    }

    #[test]
    fn without_a_configured_registry_that_of_the_npm_in_the_build_image_is_named() {
        let network = |registry: Option<&str>| BuildNetwork {
            mode: Network::None,
            mounts: Vec::new(),
            files: Vec::new(),
            logins: Vec::new(),
            index_hosts: Vec::new(),
            npm_registry: registry.map(str::to_owned),
            npm_login: None,
            python_index: None,
            has_ca: false,
            has_npm_config: false,
        };
        let layer = tempfile::tempdir().unwrap();
        let settings = layer.path().join(NPM_SETTINGS);
        std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
        std::fs::write(settings, "define('registry', {\n  default: `https://npm.example/`,\n})").unwrap();
        let layers = [PathBuf::from("/nowhere"), layer.path().to_owned()];
        let found = network(None).or_registry_of(&layers);
        assert_eq!(found.indexes(None, AppRegistries::default()).npm_registry, Some("https://npm.example/"));
        let configured = network(Some("https://other.example/")).or_registry_of(&layers);
        assert_eq!(
            configured.indexes(None, AppRegistries::default()).npm_registry,
            Some("https://other.example/")
        );
        assert_eq!(
            network(None).or_registry_of(&[]).indexes(None, AppRegistries::default()).npm_registry,
            None
        );
    }

    #[test]
    fn logins_are_kept_out_of_what_is_shown() {
        let basic = Auth::Basic { user: "me".into(), password: Secret::new("p w-of-the-index".to_owned()) };
        let mirrors = Mirrors {
            npm: Some(endpoint(
                "https://npm.example/",
                Some(Auth::Bearer(Secret::new("npm_token_1".to_owned()))),
            )),
            python: Some(endpoint("https://index.example/simple/", Some(basic))),
            ..Mirrors::default()
        };
        let mask = crate::secrets::Mask::default().with(&logins(&mirrors));
        for shown in [
            address_with_login(mirrors.python.as_ref().unwrap()),
            npm_login(mirrors.npm.as_ref().unwrap()).unwrap(),
        ] {
            let masked = mask.apply(&shown);
            assert!(
                masked.contains("***") && !masked.contains("npm_token_1") && !masked.contains("of-the-index")
            );
        }
    }

    #[test]
    fn bundles_of_certificates_are_put_together_once_each() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pem");
        std::fs::write(&file, "A").unwrap();
        let files = [file.clone(), directory.path().join("missing"), file];
        let bundle = ca_bundle(files.iter(), directory.path()).unwrap().unwrap();
        assert_eq!(fs_err::read(bundle).unwrap(), b"A\n");
        assert_eq!(ca_bundle([].iter(), directory.path()).unwrap(), None);
    }
}
