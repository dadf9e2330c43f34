//! The registry client, set up from flags and environment, and its errors as failures of a command.

use std::sync::Arc;
use std::time::Duration;

use lapstrake_catalog::PlatformKey;
use lapstrake_oci::destination::PushError;
use lapstrake_oci::document::DocumentKind;
use lapstrake_oci::layout::Layout;
use lapstrake_oci::registry::{
    Class, Client, Credentials, Locations, Options, Proxies, RegistryError, RetryPolicy, Trust, Wait,
};

use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, ImageIndex};

use crate::cli::RegistryArgs;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Sets up a client. Nothing is sent yet.
pub fn client(args: &RegistryArgs, context: &Context) -> Result<Arc<Client>, Failure> {
    client_with(args, context, RetryPolicy::default())
}

/// Sets up a client that reads many things, so that one that does not answer must not hold up the others for long.
pub fn client_for_many(args: &RegistryArgs, context: &Context) -> Result<Arc<Client>, Failure> {
    let retry = RetryPolicy { attempts: 4, give_up: Duration::from_mins(2), ..RetryPolicy::default() };
    client_with(args, context, retry)
}

fn client_with(args: &RegistryArgs, context: &Context, retry: RetryPolicy) -> Result<Arc<Client>, Failure> {
    let path = |name: &str| context.var(name).map(std::path::PathBuf::from);
    let locations = Locations {
        auth_file: args.authfile.clone().or_else(|| path("REGISTRY_AUTH_FILE")),
        docker_config: path("DOCKER_CONFIG"),
        runtime_dir: path("XDG_RUNTIME_DIR"),
        config_home: path("XDG_CONFIG_HOME"),
        home: path("HOME"),
    };
    let report = Arc::clone(&context.report);
    let options = Options {
        credentials: Credentials::from_locations(&locations),
        insecure: args.insecure_registry.clone(),
        realm_allow: args.realm_allow.clone(),
        trust: trust(context)?,
        proxies: proxies(context),
        retry,
        scratch: context.scratch_dir(),
        on_wait: Some(Arc::new(move |wait: &Wait| {
            report.note(&format!(
                "waiting {:.0} s for {}: {}",
                wait.wait.as_secs_f64().ceil(),
                wait.registry,
                wait.reason
            ));
        })),
        stop: Some(context.stop.signal()),
        ..Options::default()
    };
    Client::new(options).map(Arc::new).map_err(|cause| failure(cause, "could not set up the registry client"))
}

/// The certificate authorities that are trusted.
pub fn trust(context: &Context) -> Result<Trust, Failure> {
    let extra = context.authorities.iter().map(fs_err::read).collect::<Result<Vec<_>, _>>();
    let extra = extra
        .map_err(|cause| Failure::because(Exit::NotUnderstood, "could not read a certificate", cause))?;
    Ok(Trust { bundle: context.var("SSL_CERT_FILE").map(std::path::PathBuf::from), extra })
}

/// The proxies of this machine.
#[must_use]
pub fn proxies(context: &Context) -> Proxies {
    let proxy =
        |upper: &str, lower: &str| context.var(lower).or_else(|| context.var(upper)).map(str::to_owned);
    Proxies {
        // A program on the web server side may be handed HTTP_PROXY by a request header; only the lower-case name is safe.
        http: context.var("http_proxy").map(str::to_owned),
        https: proxy("HTTPS_PROXY", "https_proxy"),
        no_proxy: proxy("NO_PROXY", "no_proxy"),
    }
}

/// Brings an image, or the one of an index that is for a platform, into a layout.
pub fn pull(
    client: &Client,
    reference: &Reference,
    platform: &PlatformKey,
    layout: &Layout,
) -> Result<Descriptor, Failure> {
    let what = || format!("could not pull `{reference}`");
    let mut top = client.manifest(reference).map_err(|cause| failure(cause, what()))?;
    if DocumentKind::of(top.descriptor().media_type()) == Some(DocumentKind::Index) {
        let index: ImageIndex =
            top.parse().map_err(|cause| Failure::because(Exit::Refused, what(), cause))?;
        let is_for = |descriptor: &&Descriptor| {
            descriptor.platform().as_ref().map(PlatformKey::from).is_none_or(|key| key == *platform)
        };
        let chosen = index.manifests().iter().find(is_for);
        let chosen = chosen.ok_or_else(|| {
            Failure::new(Exit::NotUnderstood, format!("`{reference}` has no image for {platform}"))
        })?;
        top = client.manifest_of(reference, chosen).map_err(|cause| failure(cause, what()))?;
    }
    let descriptor = top.descriptor().clone();
    client.pull(reference, top, layout, None, &mut |_| {}).map_err(|cause| match cause {
        PushError::Registry(cause) => failure(cause, what()),
        cause => Failure::because(Exit::Ours, what(), cause),
    })?;
    Ok(descriptor)
}

/// An error of the registry client as the failure of a command.
pub fn failure(cause: RegistryError, what: impl Into<String>) -> Failure {
    let exit = match cause.class() {
        Class::Refused => Exit::RegistryRefused,
        Class::Transient => Exit::Transient,
        Class::Mismatch | Class::Malformed => Exit::Refused,
        Class::Ours => Exit::Ours,
        Class::Stopped => Exit::of_signal(match cause {
            RegistryError::Stopped { signal } => signal,
            _ => 0,
        }),
    };
    let hints: Vec<String> = cause.hints().iter().map(ToString::to_string).collect();
    let is_proxy_login = cause.is_proxy_login();
    let can_be_allowed = matches!(cause, RegistryError::Forbidden { can_be_allowed: true, .. });
    let failure = Failure::because(exit, what, cause);
    if is_proxy_login {
        return failure.hint(
            "the proxy takes a user and a password: `http://USER:PASSWORD@HOST:PORT` in `HTTPS_PROXY`",
        );
    }
    if can_be_allowed {
        return failure
            .hint("`--realm-allow HOST` permits it for a host that you trust with your credentials");
    }
    if hints.is_empty() { failure } else { failure.hint(format!("credentials: {}", hints.join("; "))) }
}
