//! Files of any web server, by the rules that hold for a registry: no plain http but where that is permitted, no
//! redirect to a less safe place, credentials for one origin alone, everything bounded in time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::Method;
use reqwest::header::HeaderValue;
use url::Url;

use super::answer::stalled;
use super::call::{Answer, Call};
use super::core::{Core, Registry};
use super::error::RegistryError;
use super::origin::{Origin, is_loopback, shown};
use super::retry::Retry;
use super::{Client, Secret};

/// How often it is looked whether the caller still wants the file.
const PULSE: Duration = Duration::from_millis(100);
/// Less than this in a while is as good as silence.
const SLOWEST: (u64, Duration) = (60 << 10, Duration::from_mins(1));
/// No file takes longer.
const LONGEST: Duration = Duration::from_mins(15);

/// Who asks for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl BasicLogin {
    fn header(&self) -> Result<HeaderValue, RegistryError> {
        let pair = format!("{}:{}", self.user, self.password.reveal());
        let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| RegistryError::Setup { problem: "a login that no header can hold".to_owned() })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What whoever receives a file is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The file begins, perhaps once more.
    Begin {
        /// How many bytes it has, if the server says so.
        size: Option<u64>,
    },
    /// The next bytes.
    Bytes(&'a [u8]),
    /// Nothing yet: a chance to say that it is not wanted any more.
    Waiting,
}

/// What a server said before a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The address that answered, after redirects.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// What the body would have been.
    pub content_type: Option<String>,
}

/// Tells who receives a file what there is; an answer of `Break` ends it.
pub type Receive<'a> = dyn FnMut(Piece<'_>) -> ControlFlow<()> + 'a;

impl Client {
    /// Hands a file over piece by piece; `Break` when whoever receives it wants no more.
    pub fn fetch_file(
        &self,
        url: &Url,
        login: Option<&BasicLogin>,
        receive: &mut Receive<'_>,
    ) -> Result<ControlFlow<()>, RegistryError> {
        self.runtime.block_on(async {
            let server = self.core.server(url)?;
            let mut retry = Retry::new(&self.core.retry);
            loop {
                match self.core.receive(&server, url, login, receive).await {
                    Ok(flow) => return Ok(flow),
                    Err(error) => self.core.pause(&server, &mut retry, error).await?,
                }
            }
        })
    }

    /// What a server says of an address, whose body is not read.
    pub fn glance(&self, url: &Url, login: Option<&BasicLogin>) -> Result<Glance, RegistryError> {
        self.runtime.block_on(async {
            let server = self.core.server(url)?;
            let answer = self.core.get(&server, url, login).await?;
            let content_type = answer.header("content-type").map(str::to_owned);
            Ok(Glance { status: answer.status(), content_type, url: answer.url })
        })
    }
}

impl Core {
    /// The server of an address, if it may be spoken to at all.
    fn server(&self, url: &Url) -> Result<Arc<Registry>, RegistryError> {
        let problem = |text: &str| RegistryError::Setup { problem: format!("`{}`: {text}", shown(url)) };
        let origin = Origin::of(url).ok_or_else(|| problem("it is neither http nor https"))?;
        if !origin.is_tls() && !is_loopback(url) && !self.is_insecure(url) {
            return Err(problem("plain http is not permitted"));
        }
        Ok(Arc::new(Registry::of(origin, url)))
    }

    async fn get(
        &self,
        server: &Registry,
        url: &Url,
        login: Option<&BasicLogin>,
    ) -> Result<Answer, RegistryError> {
        let call = Call::new(Method::GET, url.clone());
        let authorization = login.map(BasicLogin::header).transpose()?;
        self.follow(server, &call, authorization.as_ref()).await
    }

    async fn receive(
        &self,
        server: &Registry,
        url: &Url,
        login: Option<&BasicLogin>,
        receive: &mut Receive<'_>,
    ) -> Result<ControlFlow<()>, RegistryError> {
        let started = Instant::now();
        let answer = self.get(server, url, login);
        let Some(answer) = unless_unwanted(answer, receive).await else { return Ok(ControlFlow::Break(())) };
        let mut answer = self.checked(answer?, &[200]).await?;
        let promised = answer.response.content_length();
        if receive(Piece::Begin { size: promised }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let (mut total, mut window) = (0, (0, Instant::now()));
        loop {
            let Some(chunk) = unless_unwanted(self.chunk(&mut answer), receive).await else {
                return Ok(ControlFlow::Break(()));
            };
            let Some(chunk) = chunk? else { break };
            total += chunk.as_ref().len() as u64;
            if receive(Piece::Bytes(chunk.as_ref())).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if window.1.elapsed() > SLOWEST.1 {
                if total - window.0 < SLOWEST.0 {
                    return Err(stalled(&answer.method, &answer.url, SLOWEST.1));
                }
                window = (total, Instant::now());
            }
            if started.elapsed() > LONGEST {
                return Err(stalled(&answer.method, &answer.url, LONGEST));
            }
        }
        match promised {
            Some(promised) if promised != total => {
                Err(RegistryError::SizeMismatch { url: shown(&answer.url), expected: promised, found: total })
            }
            _ => Ok(ControlFlow::Continue(())),
        }
    }
}

/// Waits for something, unless it is not wanted any more.
async fn unless_unwanted<T>(waited_for: impl Future<Output = T>, receive: &mut Receive<'_>) -> Option<T> {
    let mut waited_for = std::pin::pin!(waited_for);
    loop {
        tokio::select! {
            result = &mut waited_for => return Some(result),
            () = tokio::time::sleep(PULSE) => {
                if receive(Piece::Waiting).is_break() {
                    return None;
                }
            }
        }
    }
}
