//! What build commands reach in each network mode.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use lapstrake_fixtures::apps::App;

use crate::harness::{Lapstrake, workspace};

/// A server on this machine's loopback that answers every request with a redirect or with a page.
pub(crate) fn server(redirect: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = match redirect {
        Some(to) => format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
        None => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            // Whatever was asked, one answer.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    host
}

pub(crate) const FETCH: &str = "import os, sys, urllib.error, urllib.request
# Loopback is the sandbox's own unless the proxy is asked for it.
os.environ.pop('no_proxy', None), os.environ.pop('NO_PROXY', None)
for url in sys.argv[1:]:
    try:
        print('GOT', url, urllib.request.urlopen(url, timeout=5).status)
    except urllib.error.HTTPError as error:
        print('GOT', url, error.code)
    except OSError as error:
        print('GOT', url, 'nothing')
";

/// Builds an app whose command asks for addresses; what came of each, and all that was printed.
fn fetched(directory: &Path, options: &[&str], urls: &[&str]) -> (Vec<String>, String) {
    let text = format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - python3 fetch.py {}\n\
         run:\n  command: python3 fetch.py\n",
        urls.join(" ")
    );
    fs_err::write(directory.join("apprunner.yaml"), text).unwrap();
    fs_err::write(directory.join("fetch.py"), FETCH).unwrap();
    let layout = format!("oci:{}", directory.parent().unwrap().join("layout").display());
    let common = ["build", "--progress", "plain", directory.to_str().unwrap(), "--output", &layout];
    let built = Lapstrake::new().run(common.iter().chain(options)).expect(0);
    let lines = built.stderr.lines().filter_map(|line| line.strip_prefix("[Build] GOT "));
    (lines.map(str::to_owned).collect(), built.stderr)
}

#[test]
fn net_01_each_mode_reaches_what_it_says_and_nothing_else() {
    let scratch = workspace::scratch();
    let app = scratch.path().join("app");
    fs_err::create_dir(&app).unwrap();
    let (allowed, other) = (server(None), server(None));
    let astray = server(Some(format!("http://{other}/")));
    let urls = [&allowed, &other, &astray].map(|host| format!("http://{host}/x"));
    let metadata = "http://169.254.169.254/latest".to_owned();
    let [a, o, r] = &urls;
    let asked = [a.as_str(), o, r, &metadata];
    let answers = |codes: [&str; 4]| -> Vec<String> {
        asked.iter().zip(codes).map(|(url, code)| format!("{url} {code}")).collect()
    };
    let allow = ["--allow-host", &allowed, "--allow-host", &astray];

    let (got, _) = fetched(&app, &["--network", "none"], &asked);
    assert_eq!(got, answers(["nothing"; 4]));
    // Private addresses are refused unless they are named, and a redirect is another request.
    let (got, said) = fetched(&app, &["--network", "proxy"], &asked);
    assert_eq!(got, answers(["403"; 4]), "{said}");
    for mode in ["proxy", "registries"] {
        let options = [&["--network", mode], &allow[..]].concat();
        let (got, said) = fetched(&app, &options, &asked);
        assert_eq!(got, answers(["200", "403", "403", "403"]), "{said}");
        assert_eq!(said.matches(&format!("network: `{other}` was refused")).count(), 2, "{said}");
        assert!(said.contains("network: `169.254.169.254:80` was refused"), "{said}");
    }
    let (got, _) = fetched(&app, &["--network", "open"], &asked[..3]);
    assert_eq!(got, answers(["200", "200", "200", ""])[..3]);
    println!("figure NET-01: 5 modes and lists by 4 addresses as expected, redirects included");
}

#[test]
fn net_01_in_mode_registries_public_hosts_are_refused_by_name() {
    let scratch = workspace::scratch();
    let app = scratch.path().join("app");
    fs_err::create_dir(&app).unwrap();
    let url = "http://public.example:80/";
    let (got, said) = fetched(&app, &["--network", "registries"], &[url]);
    assert_eq!(got, [format!("{url} 403")]);
    assert!(said.contains("only the configured hosts are allowed"), "{said}");
    let wrong = Lapstrake::new().run(["build", app.to_str().unwrap(), "--allow-host", "https://x.example/"]);
    assert!(wrong.expect(2).stderr.contains("is no HOST or HOST:PORT"));
}

#[test]
fn net_07_what_commands_fetch_is_recorded_with_its_digest() {
    let scratch = workspace::scratch();
    let source = App::named("flask").directory();
    let report = scratch.path().join("report.json");
    let layout = format!("oci:{}", scratch.path().join("layout").display());
    let arguments = ["build", source.to_str().unwrap(), "--output", &layout, "--metadata-file"];
    Lapstrake::new().run(arguments.into_iter().chain([report.to_str().unwrap()])).expect(0);
    let report: serde_json::Value = serde_json::from_slice(&fs_err::read(&report).unwrap()).unwrap();
    let fetched = report["fetched"].as_array().unwrap();
    let text = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap().to_owned();
    let wheels: Vec<_> = fetched
        .iter()
        .filter(|one| Path::new(&text(one, "url")).extension().is_some_and(|end| end == "whl"))
        .collect();
    // The list of requirements pins each package to its digest.
    let requirements = fs_err::read_to_string(source.join("requirements.txt")).unwrap();
    let packages = requirements.lines().filter(|line| line.contains("==")).count();
    assert_eq!(wheels.len(), packages, "{fetched:?}");
    for wheel in &wheels {
        assert!(requirements.contains(&text(wheel, "digest")), "{wheel}");
    }
    assert!(
        fetched.iter().all(|one| text(one, "url").starts_with("http") && one["size"].as_u64().unwrap() > 0)
    );
    println!(
        "figure NET-07: {} answers recorded, {packages} of {packages} packages with their digest",
        fetched.len()
    );
}
