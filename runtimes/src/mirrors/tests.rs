//! Mirrors from configuration files below a temporary root.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

struct Installed;

impl Ask for Installed {
    fn ask(&self, program: &str, _: &[&str]) -> Option<String> {
        let port = match program {
            "npm" => "https://npm.example/registry/",
            "python3" => "https://index.example/simple",
            _ => return None,
        };
        Some(port.to_owned())
    }
}

fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    root
}

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn discover(root: &Path, env: &BTreeMap<String, String>, ask: &dyn Ask) -> Mirrors {
    Mirrors::discover(&MirrorFlags::default(), Machine { env, root, ask }).unwrap()
}

fn url(endpoint: Option<&Endpoint>) -> &str {
    endpoint.map_or("none", |endpoint| endpoint.url.as_str())
}

#[test]
fn both_forms_of_apt_sources_are_read_and_those_of_others_are_not() {
    let root = root(&[
        (
            "etc/apt/sources.list.d/debian.sources",
            "Types: deb\n# old\nURIs: http://mirror.example/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: http://mirror.example/debian-security/\nSuites: bookworm-security\nComponents: main\n",
        ),
        (
            "etc/apt/sources.list",
            "# deb http://commented.example/debian bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://second.example/debian bookworm main\ndeb-src http://source.example/debian bookworm main\ndeb http://other.example/ubuntu jammy main\n",
        ),
    ]);
    let mirrors = discover(root.path(), &env(&[]), &NoPrograms);
    assert_eq!(url(mirrors.debian.as_ref()), "http://second.example/debian/");
    assert_eq!(mirrors.debian.as_ref().unwrap().more[0].as_str(), "http://mirror.example/debian/");
    assert_eq!(mirrors.debian.as_ref().unwrap().more.len(), 1);
    assert_eq!(url(mirrors.security.as_ref()), "http://mirror.example/debian-security/");
    assert_eq!(url(mirrors.debian_of("trixie-security").ok()), "http://mirror.example/debian-security/");
    assert!(mirrors.npm.is_none() && mirrors.python.is_none());
    let error = mirrors.npm().unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing on this machine says where npm packages come from; set `LAPSTRAKE_NPM_REGISTRY`"
    );
}

#[test]
fn flags_come_before_variables_before_configuration_before_defaults() {
    let root = root(&[("etc/npmrc", "registry=https://conf.example/npm\n")]);
    let empty = env(&[]);
    assert_eq!(url(discover(root.path(), &empty, &Installed).npm.as_ref()), "https://conf.example/npm/");
    assert_eq!(
        url(discover(root.path(), &empty, &Installed).python.as_ref()),
        "https://index.example/simple/"
    );
    let own = env(&[("LAPSTRAKE_NPM_REGISTRY", "https://own.example")]);
    assert_eq!(url(discover(root.path(), &own, &Installed).npm.as_ref()), "https://own.example/");
    let flags = MirrorFlags { npm: Some("https://flag.example".to_owned()), ..MirrorFlags::default() };
    let machine = Machine { env: &own, root: root.path(), ask: &Installed };
    let mirrors = Mirrors::discover(&flags, machine).unwrap();
    assert_eq!(url(mirrors.npm.as_ref()), "https://flag.example/");
}

#[test]
fn a_flag_that_is_no_address_is_refused_without_its_password() {
    let flags =
        MirrorFlags { debian: Some("ftp://user:secret@mirror.example".to_owned()), ..MirrorFlags::default() };
    let error = Mirrors::discover(
        &flags,
        Machine { env: &env(&[]), root: Path::new("/nonexistent"), ask: &NoPrograms },
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "the command line: `ftp://mirror.example` is not the address of a mirror"
    );
}

#[test]
fn npm_credentials_are_for_their_own_path_and_no_message_shows_them() {
    let root = root(&[
        (
            "home/.npmrc",
            "registry = https://npm.example/team/\n//npm.example/team/:_authToken=${TOKEN}\ncafile=/ca.pem\nhttps-proxy=http://p:q@proxy.example:1\n",
        ),
        ("ca.pem", ""),
    ]);
    let env = env(&[("HOME", "/home"), ("TOKEN", "hidden-token")]);
    let mirrors = discover(root.path(), &env, &NoPrograms);
    let npm = mirrors.npm.clone().unwrap();
    assert_eq!(npm.auth, Some(Auth::Bearer(Secret::new("hidden-token".to_owned()))));
    assert_eq!(npm.ca_files, [root.path().join("ca.pem")]);
    assert!(npm.auth_for(&Url::parse("https://npm.example/team/x.tgz").unwrap()).is_some());
    assert!(npm.auth_for(&Url::parse("https://files.example/team/x.tgz").unwrap()).is_none());
    assert!(npm.auth_for(&Url::parse("http://npm.example/team/x.tgz").unwrap()).is_none());
    assert_eq!(npm.proxy.https.as_ref().unwrap().reveal().host_str(), Some("proxy.example"));
    let shown = format!("{mirrors:?}");
    assert!(!shown.contains("hidden-token") && !shown.contains("p:q"), "{shown}");
}

#[test]
fn pip_reads_its_files_and_the_environment_wins() {
    let root = root(&[
        (
            "etc/pip.conf",
            "[global]\nindex-url = https://user:hidden@etc.example/simple\ncert = /etc/ca.pem\n",
        ),
        (
            "home/.config/pip/pip.conf",
            "[global]\nextra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n",
        ),
        ("etc/ca.pem", ""),
        ("home/.netrc", "machine one.example login a password b\n"),
    ]);
    let home = env(&[("HOME", "/home")]);
    let mirrors = discover(root.path(), &home, &Installed);
    let python = mirrors.python.clone().unwrap();
    assert_eq!(python.url.as_str(), "https://etc.example/simple/");
    assert!(
        matches!(&python.auth, Some(Auth::Basic { user, password }) if user == "user" && password.reveal() == "hidden")
    );
    assert_eq!(python.ca_files, [root.path().join("etc/ca.pem")]);
    let extra: Vec<_> =
        mirrors.python_extra.iter().map(|endpoint| endpoint.url.host_str().unwrap()).collect();
    assert_eq!(extra, ["one.example", "two.example"]);
    assert!(mirrors.python_extra[0].auth.is_some() && mirrors.python_extra[1].auth.is_none());
    assert!(!format!("{mirrors:?}").contains("hidden"));
    let env = env(&[("HOME", "/home"), ("PIP_INDEX_URL", "https://env.example/simple/")]);
    assert_eq!(url(discover(root.path(), &env, &Installed).python.as_ref()), "https://env.example/simple/");
}

#[test]
fn apt_settings_of_proxy_and_credentials_reach_the_mirror() {
    let root = root(&[
        ("etc/apt/sources.list", "deb https://mirror.example/debian trixie main\n"),
        ("etc/apt/apt.conf.d/10proxy", "Acquire::https::Proxy \"http://apt.example:3142\";\n"),
        (
            "etc/apt/auth.conf.d/mirror.conf",
            "machine https://mirror.example/debian\nlogin me\npassword hidden\n",
        ),
    ]);
    let mirrors = discover(root.path(), &env(&[("https_proxy", "http://env.example:1")]), &NoPrograms);
    let debian = mirrors.debian.unwrap();
    assert_eq!(debian.proxy.https.as_ref().unwrap().reveal().host_str(), Some("apt.example"));
    assert!(matches!(&debian.auth, Some(Auth::Basic { user, .. }) if user == "me"));
}

#[test]
fn defaults_stand_in_the_sources_of_the_tools() {
    let npm = "define('registry', {\n  default: 'https://npm.example/',\n  type: url,\n";
    assert_eq!(npmrc::registry_in_source(npm).unwrap().as_str(), "https://npm.example/");
    let pip =
        "PyPI = PackageIndex(\n    \"https://index.example/\", file_storage_domain=\"files.example\")\n";
    assert_eq!(pip_conf::index_in_source(pip).unwrap().as_str(), "https://index.example/simple/");
    assert_eq!(defaults::python_index_hosts(pip), ["index.example", "files.example"]);
    assert!(defaults::python_index_hosts("PyPI = None").is_empty());
}

/// A wheel of one module.
fn wheel(source: &str) -> Vec<u8> {
    use std::io::Write as _;

    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    let files =
        [("pip/_internal/models/index.py", source), ("pip-1.0.dist-info/WHEEL", "Tag: py3-none-any\n")];
    let mut record = "pip-1.0.dist-info/RECORD,,\n".to_owned();
    for (name, text) in files {
        let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(text));
        record = format!("{name},sha256={digest},{}\n{record}", text.len());
    }
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files.into_iter().chain([("pip-1.0.dist-info/RECORD", record.as_str())]) {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn where_no_tool_is_installed_its_package_says_what_it_would_take() {
    use lapstrake_fixtures::debs::DebFile;
    let root = root(&[("etc/npmrc", "//npm.example/:_authToken=hidden\n")]);
    let no_env = env(&[]);
    let machine = Machine { env: &no_env, root: root.path(), ask: &NoPrograms };
    let mut mirrors = Mirrors::discover(&MirrorFlags::default(), machine).unwrap();
    let definitions = "define('registry', {\n  default: 'https://npm.example/',\n";
    let npm = DebFile::new("npm", "9", "all").file(
        "usr/share/nodejs/npm/lib/utils/config/definitions.js",
        0o644,
        definitions,
    );
    mirrors.complete_npm(&npm.write(root.path()).unwrap(), machine).unwrap();
    assert_eq!(url(mirrors.npm.as_ref()), "https://npm.example/");
    assert!(mirrors.npm.as_ref().unwrap().auth.is_some());
    let source =
        "PyPI = PackageIndex(\n    \"https://index.example/\", file_storage_domain=\"files.example\"\n)\n";
    let pip = DebFile::new("python3-pip-whl", "1", "all").file(
        "usr/share/python-wheels/pip-1.0-py3-none-any.whl",
        0o644,
        wheel(source),
    );
    mirrors.complete_python(&pip.write(root.path()).unwrap(), machine).unwrap();
    assert_eq!(url(mirrors.python.as_ref()), "https://index.example/simple/");
    let empty = DebFile::new("npm", "9", "all").write(root.path()).unwrap();
    assert!(mirrors.complete_npm(&empty, machine).is_err());
}
