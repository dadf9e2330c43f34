//! A watch that runs beside a test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Lapstrake;

/// A running watch, killed with the value.
pub(crate) struct Watching {
    child: Child,
    events: Receiver<String>,
    results: Receiver<String>,
    /// All that it said so far.
    pub(crate) said: Vec<String>,
}

impl Watching {
    /// Starts `watch` with a look every second.
    pub(crate) fn start(lapstrake: &Lapstrake, arguments: &[&str]) -> Self {
        let fixed = ["watch", "--progress", "plain", "--interval", "1"];
        let mut child = lapstrake.start(fixed.iter().chain(arguments));
        let (events, results) = (lines(child.stderr.take()), lines(child.stdout.take()));
        Self { child, events, results, said: Vec::new() }
    }

    /// Waits for a line that contains some words, and returns it.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let started = Instant::now();
        let limit = Duration::from_mins(3);
        loop {
            match self.events.recv_timeout(limit.saturating_sub(started.elapsed())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no `{words}` in time:\n{}", self.said.join("\n")),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without `{words}`:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    /// Waits for the next line of a result.
    pub(crate) fn result(&mut self) -> String {
        self.results.recv_timeout(Duration::from_mins(3)).unwrap_or_else(|_| {
            self.said.extend(self.events.try_iter());
            panic!("no result:\n{}", self.said.join("\n"))
        })
    }

    /// The results that have come since.
    pub(crate) fn results(&self) -> Vec<String> {
        self.results.try_iter().collect()
    }

    /// What it said since somebody waited.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let news: Vec<String> = self.events.try_iter().collect();
        self.said.extend(news.iter().cloned());
        news
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and returns the exit code, and how long the end took.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        (self.end(), started.elapsed())
    }

    /// Waits for the end and returns the exit code; none after a signal.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_mins(2) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.said.extend(self.events.try_iter());
        panic!("it did not end:\n{}", self.said.join("\n"));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, read so that the pipe is never full.
fn lines(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let lines = BufReader::new(stream.unwrap()).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    receive
}
