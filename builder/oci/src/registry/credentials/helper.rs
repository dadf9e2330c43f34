//! Helper programs that keep credentials, and how one is asked.
//!
//! The runtime's own processes are not used: a runtime that can start them makes a pair of sockets when it is made, and
//! panics where the machine does not give one.

use std::io;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::{CredentialError, Login, Secret};

/// How often it is looked whether a helper that says nothing more has ended.
const END_CHECK: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

/// Asks the helper `program`, which `file` names, for the login of `server`; none where it has none.
pub(super) async fn ask(
    program: &str,
    file: &Path,
    server: &str,
    timeout: Duration,
) -> Result<Option<Login>, CredentialError> {
    let failed = |problem: String| CredentialError::HelperFailed {
        program: program.to_owned(),
        file: file.to_owned(),
        problem,
    };
    let start =
        |source| CredentialError::HelperStart { program: program.to_owned(), file: file.to_owned(), source };
    let mut helper = Helper::start(program).map_err(start)?;
    let (status, stdout, stderr) = tokio::time::timeout(timeout, helper.exchange(server))
        .await
        .map_err(|_| failed(format!("did not answer in {} s", timeout.as_secs())))?
        .map_err(start)?;
    if !status.success() {
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.contains("credentials not found") || said.contains("no credentials server URL") {
            return Ok(None);
        }
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(failed(format!("failed ({status}): {said}")));
    }
    let answer: Answer =
        serde_json::from_slice(&stdout).map_err(|_| failed("gave no credentials in JSON".into()))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if answer.username == "<token>" {
        Login::IdentityToken(Secret::new(answer.secret))
    } else {
        Login::Password { user: answer.username, password: Secret::new(answer.secret) }
    }))
}

/// A helper that runs, and is ended with the value.
struct Helper(Child);

impl Helper {
    fn start(program: &str) -> io::Result<Self> {
        let mut command = std::process::Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map(Self)
    }

    /// Says what it is asked for, and reads to the end what it answers.
    async fn exchange(&mut self, server: &str) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let stdin = self.0.stdin.take().expect("standard input was piped");
        let stdout = self.0.stdout.take().expect("standard output was piped");
        let stderr = self.0.stderr.take().expect("standard error was piped");
        let mut stdin = pipe::Sender::from_owned_fd(stdin.into())?;
        let mut stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
        let mut stderr = pipe::Receiver::from_owned_fd(stderr.into())?;
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let say = async move {
            // A helper that ends without reading its input is judged by what it says, not by the broken pipe.
            drop(stdin.write_all(server.as_bytes()).await);
            Ok(())
        };
        tokio::try_join!(say, stdout.read_to_end(&mut answer), stderr.read_to_end(&mut complaint))?;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok((status, answer, complaint));
            }
            tokio::time::sleep(END_CHECK).await;
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
