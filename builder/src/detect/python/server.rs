//! The server that runs a web app, and its command.

use crate::detect::Finding;

use super::names::Dependencies;
use super::web::{Interface, WebApp};

/// What a server is given: where the app is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The module and the name in it, such as `main:app`.
    pub(super) app: &'a str,
    /// Whether the name is that of a function that makes the app.
    pub(super) is_factory: bool,
}

/// A server for production.
struct Server {
    package: &'static str,
    interface: Interface,
    command: fn(Target<'_>) -> String,
}

/// The servers, the usual one of each interface first.
const SERVERS: &[Server] = &[
    Server {
        package: "gunicorn",
        interface: Interface::Wsgi,
        command: |target| format!("gunicorn --bind 0.0.0.0:$PORT {}", called(target)),
    },
    Server {
        package: "waitress",
        interface: Interface::Wsgi,
        command: |Target { app, is_factory }| {
            format!("waitress-serve --listen=0.0.0.0:$PORT{} {app}", if is_factory { " --call" } else { "" })
        },
    },
    Server {
        package: "uvicorn",
        interface: Interface::Asgi,
        command: |Target { app, is_factory }| {
            format!("uvicorn --host 0.0.0.0 --port $PORT{} {app}", if is_factory { " --factory" } else { "" })
        },
    },
    Server {
        package: "hypercorn",
        interface: Interface::Asgi,
        command: |target| format!("hypercorn --bind 0.0.0.0:$PORT {}", called(target)),
    },
    Server {
        package: "granian",
        interface: Interface::Asgi,
        command: |Target { app, is_factory }| {
            let factory = if is_factory { " --factory" } else { "" };
            format!("granian --interface asgi --host 0.0.0.0 --port $PORT{factory} {app}")
        },
    },
    Server {
        package: "daphne",
        interface: Interface::Asgi,
        command: |Target { app, .. }| format!("daphne --bind 0.0.0.0 --port $PORT {app}"),
    },
];

/// The app as an expression; the shell must not see its parentheses.
fn called(Target { app, is_factory }: Target<'_>) -> String {
    if is_factory { format!("'{app}()'") } else { app.to_owned() }
}

/// The command of the first production server for the interface among the dependencies, and what says that it is there.
pub(super) fn for_production<'d>(
    target: Target<'_>,
    interface: Interface,
    dependencies: &'d Dependencies,
) -> Option<(String, &'d Finding)> {
    let fitting = SERVERS.iter().filter(|server| server.interface == interface);
    // Daphne takes no function that makes an app.
    let mut fitting = fitting.filter(|server| !target.is_factory || server.package != "daphne");
    fitting.find_map(|server| Some(((server.command)(target), dependencies.get(server.package)?)))
}

/// The command of the framework's own server, which is for development.
pub(super) fn of_framework(app: &WebApp, target: Target<'_>) -> Option<String> {
    match app.framework.name {
        "Flask" => Some(format!("flask --app {} run --host 0.0.0.0 --port $PORT", target.app)),
        "Quart" => for_production(target, Interface::Asgi, &implied("hypercorn")).map(|(command, _)| command),
        "Bottle" if !target.is_factory => {
            Some(format!("python3 -m bottle --bind 0.0.0.0:$PORT {}", target.app))
        }
        _ => None,
    }
}

/// A dependency that comes with a framework.
fn implied(package: &str) -> Dependencies {
    let mut found = Dependencies::default();
    found.add(package, &Finding::new("", ""));
    found
}

/// The name of the usual server for an interface.
pub(super) fn usual(interface: Interface) -> &'static str {
    let first = SERVERS.iter().find(|server| server.interface == interface);
    first.map_or("", |server| server.package)
}

/// The names of the servers for an interface.
pub(super) fn known(interface: Interface) -> String {
    let names = SERVERS
        .iter()
        .filter(|server| server.interface == interface)
        .map(|server| format!("`{}`", server.package));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::CommandLine;

    fn command(package: &str, interface: Interface, is_factory: bool) -> Option<String> {
        let target = Target { app: "shop.main:app", is_factory };
        for_production(target, interface, &implied(package)).map(|(command, _)| command)
    }

    #[test]
    fn each_server_listens_on_the_port_of_the_image() {
        for (package, interface, expected) in [
            ("gunicorn", Interface::Wsgi, "gunicorn --bind 0.0.0.0:$PORT shop.main:app"),
            ("waitress", Interface::Wsgi, "waitress-serve --listen=0.0.0.0:$PORT shop.main:app"),
            ("uvicorn", Interface::Asgi, "uvicorn --host 0.0.0.0 --port $PORT shop.main:app"),
            ("hypercorn", Interface::Asgi, "hypercorn --bind 0.0.0.0:$PORT shop.main:app"),
            (
                "granian",
                Interface::Asgi,
                "granian --interface asgi --host 0.0.0.0 --port $PORT shop.main:app",
            ),
            ("daphne", Interface::Asgi, "daphne --bind 0.0.0.0 --port $PORT shop.main:app"),
        ] {
            assert_eq!(command(package, interface, false).as_deref(), Some(expected));
        }
        assert_eq!(command("gunicorn", Interface::Asgi, false), None);
        assert_eq!(command("requests", Interface::Wsgi, false), None);
    }

    #[test]
    fn a_function_that_makes_the_app_is_given_as_each_server_takes_it() {
        for (package, interface, expected) in [
            ("gunicorn", Interface::Wsgi, Some("gunicorn --bind 0.0.0.0:$PORT 'shop.main:app()'")),
            ("waitress", Interface::Wsgi, Some("waitress-serve --listen=0.0.0.0:$PORT --call shop.main:app")),
            ("uvicorn", Interface::Asgi, Some("uvicorn --host 0.0.0.0 --port $PORT --factory shop.main:app")),
            ("hypercorn", Interface::Asgi, Some("hypercorn --bind 0.0.0.0:$PORT 'shop.main:app()'")),
            ("daphne", Interface::Asgi, None),
        ] {
            assert_eq!(command(package, interface, true).as_deref(), expected);
        }
    }

    #[test]
    fn every_command_is_one_that_an_app_file_could_have() {
        for server in SERVERS {
            for is_factory in [false, true] {
                let text = (server.command)(Target { app: "a.b:c", is_factory });
                let line = CommandLine::parse(&text).unwrap();
                assert_eq!(line.command.to_cmd()[2], format!("exec {text}"), "one shell that is replaced");
                assert!(line.warnings.is_empty(), "{text}");
            }
        }
    }
}
