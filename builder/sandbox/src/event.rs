//! What a sandbox tells while it runs, and how it ended.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The step with this index begins.
    StepStarted {
        /// Index in the list of steps.
        step: usize,
    },
    /// One line, without its line feed; bytes that are not UTF-8 are replaced, long lines come in pieces.
    Output {
        /// Index of the step that ran when the line arrived.
        step: usize,
        /// Where it was written.
        stream: Stream,
        /// The text. It may hold terminal escapes: escape it before it is shown.
        line: String,
        /// Whether this is a piece of a long line, which goes on in the next output of the stream.
        continues: bool,
    },
    /// The step ended with success.
    StepEnded {
        /// Index in the list of steps.
        step: usize,
        /// How long it ran.
        took: Duration,
    },
    /// Connections to this address are handed to the app.
    Listening {
        /// The address outside.
        address: SocketAddr,
    },
    /// The proxy refused a request.
    Refused {
        /// `host:port` as the request said it, escaped.
        target: String,
        /// The rule that refused it.
        reason: String,
    },
    /// Something the user should know, such as output that was dropped.
    Notice {
        /// One sentence.
        text: String,
    },
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The step that failed, or success of all.
    pub result: Result<(), StepFailure>,
    /// The hosts that were reached through the proxy, sorted.
    pub hosts: Vec<HostUse>,
    /// What was fetched through the proxy, in the order in which it ended.
    pub fetched: Vec<Fetched>,
    /// The hosts whose last answers were failures, sorted.
    pub troubles: Vec<HostTrouble>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// Index in the list of steps.
    pub step: usize,
    /// Why.
    pub failure: Failure,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It ended with this code.
    Exit(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It could not be started, for example because there is no such program.
    NotStarted(String),
    /// All steps together took longer than allowed.
    TimedOut(Duration),
    /// Its processes used more memory than allowed.
    OutOfMemory,
    /// It wrote more than allowed.
    DiskFull,
    /// The caller asked for the end.
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::NotStarted(reason) => write!(f, "not started: {reason}"),
            Self::TimedOut(limit) => write!(f, "exceeded the time limit of {} s", limit.as_secs()),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::DiskFull => f.write_str("exceeded the disk limit"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// An answer that the steps got through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fetched {
    /// Where it came from, without a query.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// Bytes of its body, as they were sent.
    pub size: u64,
    /// The SHA-256 of its body, in hexadecimal digits.
    pub sha256: String,
}

/// A host that did not serve when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTrouble {
    /// The name or address as it was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How often in a row, until the end.
    pub times: u64,
    /// What went wrong the last time.
    pub trouble: Trouble,
}

impl fmt::Display for HostTrouble {
    /// Writes it as a sentence without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, times, trouble } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        write!(f, "`{host}:{port}` {trouble}")?;
        if *times > 1 { write!(f, ", {times} times") } else { Ok(()) }
    }
}

/// Why a host did not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no connection to it.
    Unreachable(String),
    /// It has not begun to answer in time.
    Silent,
    /// It answers that it cannot serve, with this status.
    Answered(u16),
    /// Its answer came too slowly.
    Slow,
    /// Its answer ended before its end.
    CutShort,
    /// Its name is not known, or it is not the one that was meant, or it does not speak the protocol.
    Wrong(String),
}

impl Trouble {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Wrong(_))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "could not be reached: {reason}"),
            Self::Silent => f.write_str("did not answer in time"),
            Self::Answered(status) => write!(f, "answered {status}"),
            Self::Slow => f.write_str("sent less than 1 KiB a second"),
            Self::CutShort => f.write_str("ended its answer too early"),
            Self::Wrong(reason) => write!(f, "could not be used: {reason}"),
        }
    }
}

/// What went to and came from one host through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUse {
    /// The name or address as it was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How many connections.
    pub connections: u64,
    /// Bytes sent to it.
    pub sent: u64,
    /// Bytes received from it.
    pub received: u64,
}
