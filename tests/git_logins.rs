//! Private git repositories: whom a login reaches, and where it never shows.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapstrake_fixtures::apps::App;
use lapstrake_fixtures::archive::copy_tree;
use lapstrake_fixtures::web::{AUTHORITY, Certificate, Site, Web};

use crate::harness::{Image, Lapstrake, Outcome, Repository, tools, workspace};

const TOKEN: &str = "t0ken-that-shows-nowhere";

/// A directory with the bare repository `team/app.git` of a small app.
fn repositories() -> (tempfile::TempDir, String) {
    let repository = Repository::new();
    copy_tree(&App::named("plain-python").directory(), repository.path()).unwrap();
    let commit = repository.commit();
    let root = workspace::scratch();
    let copy = root.path().join("team/app.git");
    repository.git(["clone", "--quiet", "--mirror", ".", copy.to_str().unwrap()]);
    (root, commit)
}

/// The caller has no login but those that a test gives.
fn lapstrake() -> Lapstrake {
    Lapstrake::new().with("GIT_CONFIG_GLOBAL", "/dev/null").with("GIT_CONFIG_NOSYSTEM", "1")
}

fn source(web: &Web) -> String {
    format!("git+{}", web.url("/team/app.git"))
}

fn no_secret(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn a_private_repository_is_read_with_a_token_and_not_without() {
    let (root, commit) = repositories();
    let web = Web::start(Site::repositories(root.path()).private("x-access-token", TOKEN));
    let source = source(&web);
    let said = lapstrake().run(["plan", &source]).expect(3).stderr;
    assert!(said.contains("LAPSTRAKE_GIT_TOKEN"), "{said}");

    let outcome = lapstrake().with("LAPSTRAKE_GIT_TOKEN", TOKEN).run(["plan", &source]).expect(0);
    assert!(outcome.stdout.contains(&commit));
    no_secret(&outcome);

    let outcome = lapstrake().with("LAPSTRAKE_GIT_TOKEN", "wrong").run(["plan", &source]).expect(3);
    assert!(outcome.stderr.contains("the token in LAPSTRAKE_GIT_TOKEN was sent"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("wrong"), "{}", outcome.stderr);

    web.change(|site| site.login = Some(("me".into(), TOKEN.into())));
    let named = lapstrake().with("LAPSTRAKE_GIT_TOKEN", TOKEN).with("LAPSTRAKE_GIT_USER", "me");
    named.run(["plan", &source]).expect(0);
}

#[test]
fn a_login_in_the_address_is_used_and_shown_nowhere() {
    let (root, _) = repositories();
    let web = Web::start(Site::repositories(root.path()).private("me@corp", TOKEN));
    let source = format!("git+http://me%40corp:{TOKEN}@{}/team/app.git", web.host());
    let scratch = workspace::scratch();
    let (layout, report) = (scratch.path().join("layout"), scratch.path().join("report.json"));
    let output = format!("oci:{}", layout.display());
    let arguments = ["build", &source, "-o", &output, "--metadata-file", report.to_str().unwrap()];
    no_secret(&lapstrake().run(arguments).expect(0));
    let report = fs_err::read_to_string(&report).unwrap();
    assert!(report.contains(&web.url("/team/app.git")) && !report.contains(TOKEN), "{report}");
    let image = Image::open(&layout, None);
    for document in [&image.config, &image.manifest] {
        assert!(!document.to_string().contains(TOKEN), "{document}");
    }
    for format in ["text", "json"] {
        let outcome = lapstrake().run(["plan", &source, "--format", format]).expect(0);
        no_secret(&outcome);
        assert!(outcome.stdout.contains(&web.url("/team/app.git")));
    }
    let wrong = format!("git+http://me%40corp:{TOKEN}-not@{}/team/app.git", web.host());
    no_secret(&lapstrake().run(["plan", &wrong]).expect(3));
}

#[test]
fn a_login_is_in_no_argument_of_any_process() {
    let (root, _) = repositories();
    let web = Web::start(Site::repositories(root.path()).private("x-access-token", TOKEN));
    // A git that keeps its arguments, and then is git.
    let scratch = workspace::scratch();
    let (log, program) = (scratch.path().join("log"), scratch.path().join("git"));
    let real = PathBuf::from(tools::tool("git").get_program());
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n", log.display(), real.display());
    fs_err::write(&program, script).unwrap();
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", scratch.path().display(), std::env::var_os("PATH").unwrap().display());
    let lapstrake = lapstrake().with("PATH", path);
    lapstrake.clone().with("LAPSTRAKE_GIT_TOKEN", TOKEN).run(["plan", &source(&web)]).expect(0);
    let given = format!("git+http://x-access-token:{TOKEN}@{}/team/app.git", web.host());
    lapstrake.run(["plan", &given]).expect(0);
    let log = fs_err::read_to_string(&log).unwrap();
    assert!(log.contains("fetch") && !log.contains(TOKEN), "{log}");
}

#[test]
fn the_callers_own_credential_helper_is_asked() {
    let (root, _) = repositories();
    let web = Web::start(Site::repositories(root.path()).private("me", TOKEN));
    let scratch = workspace::scratch();
    let config = scratch.path().join("config");
    let helper = format!("!f() {{ test \"$1\" = get && printf 'username=me\\npassword={TOKEN}\\n'; }}; f");
    fs_err::write(
        &config,
        format!("[credential]\n\thelper = \"{}\"\n", helper.replace('\\', "\\\\").replace('"', "\\\"")),
    )
    .unwrap();
    let lapstrake = lapstrake().with("GIT_CONFIG_GLOBAL", &config);
    no_secret(&lapstrake.run(["plan", &source(&web)]).expect(0));
    // A token that is given for this comes before it.
    let outcome = lapstrake.with("LAPSTRAKE_GIT_TOKEN", "wrong").run(["plan", &source(&web)]).expect(3);
    no_secret(&outcome);
}

#[test]
fn the_token_of_a_service_goes_to_that_service_alone() {
    let (root, _) = repositories();
    for (service, variable, user) in [
        ("github", "GITHUB_TOKEN", "x-access-token"),
        ("gitlab", "GITLAB_TOKEN", "oauth2"),
        ("bitbucket", "BITBUCKET_TOKEN", "x-token-auth"),
    ] {
        let web = Web::start(Site::repositories(root.path()).private(user, TOKEN));
        let other = Web::start(Site::repositories(root.path()).private(user, TOKEN));
        let lapstrake = lapstrake().with(variable, TOKEN);
        let option = format!("--{service}-url");
        let at_service = format!("{service}:team/app");
        lapstrake.run(["plan", &at_service, &option, &web.url("")]).expect(0);
        // By its full address it is the same service.
        lapstrake.run(["plan", &source(&web), &option, &web.url("")]).expect(0);
        let said = lapstrake.run(["plan", &source(&other), &option, &web.url("")]).expect(3).stderr;
        assert!(said.contains("LAPSTRAKE_GIT_TOKEN"), "{said}");
        assert!(other.log().iter().all(|request| request.authorization.is_none()));
        let without = self::lapstrake().run(["plan", &at_service, &option, &web.url("")]).expect(3).stderr;
        assert!(without.contains(variable), "{without}");
    }
}

#[test]
fn a_server_that_sends_us_to_another_host_does_not_send_the_login_along() {
    let (root, commit) = repositories();
    for status in [301, 302, 307, 308] {
        let elsewhere = Web::start(Site::repositories(root.path()));
        let mut site = Site::default().private("x-access-token", TOKEN);
        site.moved.push(("/old/".into(), status, elsewhere.url("/team/")));
        let web = Web::start(site);
        let moved = format!("git+{}", web.url("/old/app.git"));
        let lapstrake = lapstrake().with("LAPSTRAKE_GIT_TOKEN", TOKEN);
        let outcome = lapstrake.run(["plan", &moved]).expect(0);
        assert!(outcome.stdout.contains(&commit) && outcome.stderr.contains("has moved to"));
        assert!(!elsewhere.log().is_empty());
        assert!(elsewhere.log().iter().all(|request| request.authorization.is_none()), "{status}");
        assert!(web.log().iter().any(|request| request.authorization.is_some()));

        elsewhere.change(|site| site.login = Some(("x-access-token".into(), TOKEN.into())));
        lapstrake.run(["plan", &moved]).expect(3);
        assert!(elsewhere.log().iter().all(|request| request.authorization.is_none()), "{status}");
    }
}

#[test]
fn a_repository_with_a_new_name_on_the_same_host_is_followed_with_the_login() {
    let (root, commit) = repositories();
    let mut site = Site::repositories(root.path()).private("x-access-token", TOKEN);
    site.moved.push(("/old/".into(), 301, "/team/".into()));
    let web = Web::start(site);
    let lapstrake = lapstrake().with("LAPSTRAKE_GIT_TOKEN", TOKEN);
    let outcome = lapstrake.run(["plan", &format!("git+{}", web.url("/old/app.git"))]).expect(0);
    assert!(outcome.stdout.contains(&commit));
}

#[test]
fn redirects_in_circles_and_to_no_repository_are_refused() {
    let mut site = Site::default();
    site.moved.push(("/loop/".into(), 301, "/loop/x/".into()));
    site.moved.push(("/page/".into(), 301, "/elsewhere?x=".into()));
    let web = Web::start(site);
    for path in ["/loop/app.git", "/page/app.git"] {
        let said = lapstrake().run(["plan", &format!("git+{}", web.url(path))]).expect(5).stderr;
        assert!(said.contains("redirects"), "{said}");
    }
}

#[test]
fn a_server_with_tls_is_trusted_by_its_authority_alone() {
    let (root, commit) = repositories();
    let site = |certificate| Site { certificate: Some(certificate), ..Site::repositories(root.path()) };
    let scratch = workspace::scratch();
    let authority = scratch.path().join("ca.pem");
    fs_err::write(&authority, AUTHORITY).unwrap();
    let web = Web::start(site(Certificate::Localhost).private("x-access-token", TOKEN));
    let token = lapstrake().with("LAPSTRAKE_GIT_TOKEN", TOKEN);
    let outcome = token.run(["plan", &source(&web), "--ca", authority.to_str().unwrap()]).expect(0);
    assert!(outcome.stdout.contains(&commit));
    token.clone().with("LAPSTRAKE_CA", &authority).run(["plan", &source(&web)]).expect(0);
    token.clone().with("GIT_SSL_CAINFO", &authority).run(["plan", &source(&web)]).expect(0);
    let said = token.run(["plan", &source(&web)]).expect(3).stderr;
    assert!(said.contains("certificate") && said.contains("--ca FILE"), "{said}");
    for bad in [Certificate::OtherHost, Certificate::Expired] {
        let web = Web::start(site(bad));
        token.run(["plan", &source(&web), "--ca", authority.to_str().unwrap()]).expect(3);
    }
    // From TLS nobody is sent to plain http.
    let plain = Web::start(Site::repositories(root.path()));
    let mut site = site(Certificate::Localhost);
    let target = plain.url("/team/").replace("127.0.0.1", "localhost");
    site.moved.push(("/old/".into(), 302, target));
    let web = Web::start(site);
    let old = format!("git+{}", web.url("/old/app.git"));
    let said = lapstrake().run(["plan", &old, "--ca", authority.to_str().unwrap()]).expect(5).stderr;
    assert!(said.contains("it is plain http") && plain.log().is_empty(), "{said}");
}

/// An ssh server on loopback that lets one key in.
struct Sshd {
    server: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Sshd {
    fn start() -> Self {
        let directory = workspace::scratch();
        let at = |name: &str| directory.path().join(name);
        for key in ["host", "user", "stranger"] {
            let key = at(key);
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()];
            assert!(tools::tool("ssh-keygen").args(arguments).status().unwrap().success());
        }
        fs_err::copy(at("user.pub"), at("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\n",
            at("host").display(),
            at("authorized").display()
        );
        fs_err::write(at("config"), config).unwrap();
        let host = fs_err::read_to_string(at("host.pub")).unwrap();
        fs_err::write(at("known"), format!("[127.0.0.1]:{port} {host}")).unwrap();
        // Where its unprivileged part stands; only root needs it.
        let _ = fs_err::create_dir_all("/run/sshd");
        let server = tools::tool("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(tools::tool("sshd").get_program())
            .args(["-D", "-e", "-f", at("config").to_str().unwrap()])
            .stderr(Stdio::from(fs_err::File::create(at("log")).unwrap().into_parts().0))
            .spawn()
            .unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs_err::read_to_string(at("log")).unwrap();
            assert!(started.elapsed() < Duration::from_secs(10), "sshd did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { server, port, directory }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ssh(&self, key: &str, known: &Path) -> String {
        format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o IdentityAgent=none -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes",
            self.at(key).display(),
            known.display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_repository_is_read_by_ssh_with_a_key_or_an_agent() {
    let (root, commit) = repositories();
    let sshd = Sshd::start();
    let user = tools::run("id", ["-un"]);
    let repository = root.path().join("team/app.git");
    let source = format!("git+ssh://{}@127.0.0.1:{}{}#main", user.trim(), sshd.port, repository.display());
    let known = sshd.at("known");
    let with = |command: String| lapstrake().with("GIT_SSH_COMMAND", command);
    let outcome = with(sshd.ssh("user", &known)).run(["plan", &source]).expect(0);
    assert!(outcome.stdout.contains(&commit));

    let said = with(sshd.ssh("stranger", &known)).run(["plan", &source]).expect(3).stderr;
    assert!(said.contains("Permission denied"), "{said}");
    let said = with(sshd.ssh("user", Path::new("/dev/null"))).run(["plan", &source]).expect(3).stderr;
    assert!(said.contains("Host key verification failed"), "{said}");
    let gone = source.replace("app.git", "gone.git");
    with(sshd.ssh("user", &known)).run(["plan", &gone]).expect(2);
    with(sshd.ssh("user", &known)).run(["plan", &source.replace("#main", "#-x")]).expect(2);

    let agent = Agent::start(&sshd.at("agent"), &sshd.at("user"));
    let command = format!(
        "ssh -F none -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes -o IdentityFile=none",
        known.display()
    );
    let with_agent = with(command.clone()).with("SSH_AUTH_SOCK", &agent.socket);
    with_agent.run(["plan", &source]).expect(0);
    with(command).with("SSH_AUTH_SOCK", "/nonexistent").run(["plan", &source]).expect(3);
}

#[test]
fn the_form_of_scp_is_the_same_as_an_ssh_address() {
    let scratch = workspace::scratch();
    let (root, commit) = repositories();
    // An ssh that goes nowhere: it runs what it is asked to, and says how it was called.
    let log = scratch.path().join("log");
    let script = scratch.path().join("connect");
    let text =
        format!("#!/bin/sh\necho \"$@\" >> {}\nfor last; do :; done\nexec sh -c \"$last\"\n", log.display());
    fs_err::write(&script, text).unwrap();
    let lapstrake = lapstrake().with("GIT_SSH_COMMAND", format!("sh {}", script.display()));
    let path = root.path().join("team/app.git");
    let outcome = lapstrake.run(["plan", &format!("git@code.example:{}#main", path.display())]).expect(0);
    assert!(outcome.stdout.contains(&commit));
    assert!(
        outcome.stdout.contains(&format!("of ssh://code.example{}", path.display())),
        "{}",
        outcome.stdout
    );
    let log = fs_err::read_to_string(&log).unwrap();
    assert!(log.contains("git@code.example git-upload-pack"), "{log}");
}

/// An ssh agent with one key.
struct Agent {
    agent: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(socket: &Path, key: &Path) -> Self {
        let agent =
            tools::tool("ssh-agent").arg("-D").arg("-a").arg(socket).stdout(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !socket.exists() {
            assert!(started.elapsed() < Duration::from_secs(10), "ssh-agent did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", socket).status().unwrap();
        assert!(added.success());
        Self { agent, socket: socket.to_owned() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}
