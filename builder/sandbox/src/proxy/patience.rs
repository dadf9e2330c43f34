//! How long the proxy waits for an origin. Whatever an installer's own patience is, a build does not hang on a host that is
//! silent or all but silent.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long an origin may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Until there is a connection, whatever number of addresses is tried.
    pub(super) connect: Duration,
    /// Until the head of an answer is there, the handshake of TLS included.
    pub(super) head: Duration,
    /// The least bytes a second of a body, on average over a window.
    pub(super) slowest: u64,
    /// The window at the beginning of a body: who begins too slowly is given up sooner.
    pub(super) first_window: Duration,
    /// Each window after that.
    pub(super) window: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            head: Duration::from_secs(30),
            slowest: 1024,
            first_window: Duration::from_secs(30),
            window: Duration::from_mins(1),
        }
    }
}

/// What an origin is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
}

/// The near end of a connection to an origin. Only time that is spent waiting for the origin counts, not what a client
/// takes to read.
pub(super) struct Patient {
    stream: TcpStream,
    patience: Patience,
    stage: Stage,
    waited: Duration,
    bytes: u64,
    window: Duration,
}

impl Patient {
    /// Waits for the head of an answer, as [`Patient::expect_head`] does.
    pub(super) fn new(stream: TcpStream, patience: Patience) -> Self {
        let (waited, window) = (Duration::ZERO, patience.head);
        Self { stream, patience, stage: Stage::Head, waited, bytes: 0, window }
    }

    /// From now on the head of an answer is waited for.
    pub(super) fn expect_head(&mut self) {
        self.begin(Stage::Head, self.patience.head);
    }

    /// The same while a request is still being sent, of which nobody knows how long that takes.
    pub(super) fn expect_head_after_upload(&mut self) {
        self.begin(Stage::Head, super::dial::LONGEST_SILENCE);
    }

    /// From now on a body is waited for.
    pub(super) fn expect_body(&mut self) {
        self.begin(Stage::Body, self.patience.first_window);
    }

    fn begin(&mut self, stage: Stage, window: Duration) {
        (self.stage, self.waited, self.bytes, self.window) = (stage, Duration::ZERO, 0, window);
    }

    /// Why the origin is given up, if it is.
    pub(super) fn late(&self) -> Option<Late> {
        let least = self.patience.slowest.saturating_mul(self.window.as_secs().max(1));
        match self.stage {
            _ if self.waited < self.window => None,
            Stage::Head => Some(Late::Silent),
            Stage::Body => (self.bytes < least).then_some(Late::Slow),
        }
    }

    /// Judges what has come until now.
    fn judge(&mut self) -> io::Result<()> {
        match self.late() {
            Some(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late)),
            None if self.waited >= self.window => {
                self.begin(Stage::Body, self.patience.window);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.judge()?;
            // A time-out of zero would be none at all, and the kernel takes long ones less exactly.
            let left = self.window.saturating_sub(self.waited);
            let left = left.clamp(Duration::from_millis(1), Duration::from_secs(1));
            self.stream.set_read_timeout(Some(left))?;
            let started = Instant::now();
            let read = self.stream.read(buffer);
            self.waited += started.elapsed();
            match read {
                Ok(count) => {
                    self.bytes += count as u64;
                    return Ok(count);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Why an origin was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Late {
    #[error("no answer in time")]
    Silent,
    #[error("the answer comes too slowly")]
    Slow,
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn short() -> Patience {
        let ms = Duration::from_millis;
        Patience {
            head: ms(400),
            first_window: ms(400),
            window: ms(1200),
            slowest: 1000,
            ..Patience::default()
        }
    }

    /// A connection to somebody who writes each of these after so many milliseconds, and then stays silent.
    fn peer(writes: Vec<(u64, usize)>) -> Patient {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        thread::spawn(move || {
            for (pause, size) in writes {
                thread::sleep(Duration::from_millis(pause));
                if far.write_all(&vec![7; size]).is_err() {
                    return;
                }
            }
            thread::sleep(Duration::from_secs(10));
        });
        Patient::new(stream, short())
    }

    /// Reads until it is given up; how many bytes came, why it ended, and after how many milliseconds.
    fn read_all(mut patient: Patient) -> (usize, Option<Late>, u128) {
        let (started, mut bytes, mut buffer) = (Instant::now(), 0, [0; 4096]);
        loop {
            match patient.read(&mut buffer) {
                Ok(count) => bytes += count,
                Err(_) => return (bytes, patient.late(), started.elapsed().as_millis()),
            }
        }
    }

    #[test]
    fn net_06_a_head_that_drips_is_given_up_however_often_something_comes() {
        let (bytes, why, took) = read_all(peer(vec![(50, 1); 100]));
        assert_eq!(why, Some(Late::Silent));
        assert!(bytes < 10 && (400..2000).contains(&took), "{bytes} {took}");
    }

    #[test]
    fn net_06_a_body_that_drips_is_given_up_after_the_first_window_and_one_that_flows_is_not() {
        let mut slow = peer(vec![(50, 1); 100]);
        slow.expect_body();
        let (bytes, why, took) = read_all(slow);
        assert_eq!(why, Some(Late::Slow));
        assert!(bytes < 10 && (400..2000).contains(&took), "{bytes} {took}");
        // 20 kB a second for a second, then silence: the longer window counts from then on.
        let mut fast = peer(vec![(50, 1000); 20]);
        fast.expect_body();
        let (bytes, why, took) = read_all(fast);
        assert_eq!((bytes, why), (20_000, Some(Late::Slow)));
        assert!((1800..6000).contains(&took), "{took}");
    }

    #[test]
    fn net_06_time_that_the_client_takes_does_not_count() {
        let mut patient = peer(vec![(0, 2000); 3]);
        patient.expect_body();
        let mut buffer = [0; 1000];
        for _ in 0..6 {
            thread::sleep(Duration::from_millis(200));
            assert_eq!(patient.read(&mut buffer).unwrap(), 1000);
        }
    }
}
