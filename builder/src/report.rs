//! What a person or a program sees while a command runs. Everything here goes to standard error; results go to
//! standard output, by [`print_result`] alone.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::ProgressMode;
use crate::failure::Failure;
use crate::secrets::{Hidden, Mask};

/// Which stream of a build command a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The one place that writes to standard error.
pub struct Report {
    look: Look,
    started: Instant,
    bars: MultiProgress,
    out: Mutex<Box<dyn Write + Send>>,
    mask: RwLock<Arc<Mask>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Bars,
    Plain,
    Json,
    Quiet,
}

impl Report {
    /// A report on standard error. Bars are drawn on a terminal only.
    #[must_use]
    pub fn new(mode: ProgressMode, quiet: bool) -> Self {
        let look = match mode {
            ProgressMode::Json => Look::Json,
            _ if quiet => Look::Quiet,
            ProgressMode::Auto if std::io::stderr().is_terminal() => Look::Bars,
            ProgressMode::Auto | ProgressMode::Plain => Look::Plain,
        };
        Self::with(look, Box::new(std::io::stderr()))
    }

    fn with(look: Look, out: Box<dyn Write + Send>) -> Self {
        let bars = MultiProgress::with_draw_target(match look {
            Look::Bars => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        });
        Self { look, started: Instant::now(), bars, out: Mutex::new(out), mask: RwLock::default() }
    }

    /// A report that nobody reads.
    #[must_use]
    pub fn silent() -> Self {
        Self::with(Look::Quiet, Box::new(std::io::sink()))
    }

    /// Keeps some values out of everything that is shown from now on.
    pub fn hide(&self, hidden: &[Hidden]) {
        if !hidden.is_empty() {
            let mut mask = self.mask.write().unwrap_or_else(PoisonError::into_inner);
            *mask = Arc::new(mask.with(hidden));
        }
    }

    /// What keeps those values out of a text that is shown in another way.
    #[must_use]
    pub fn mask(&self) -> Arc<Mask> {
        Arc::clone(&self.mask.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time since the command began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says what is being done or was decided.
    pub fn note(&self, text: &str) {
        self.say(text, || json!({"event": "note", "text": text}));
    }

    /// Says what deserves attention; shown even when quiet.
    pub fn warning(&self, text: &str) {
        match self.look {
            Look::Json => self.write(&self.stamped(json!({"event": "warning", "text": text})).to_string()),
            _ => self.write(&format!("warning: {}", printable(&self.mask().apply(text)))),
        }
    }

    /// Shows a diagnostic that was rendered with its position.
    pub fn diagnostic(&self, text: &str) {
        match self.look {
            Look::Json => self.write(&self.stamped(json!({"event": "diagnostic", "text": text})).to_string()),
            _ => self.write(text),
        }
    }

    /// Says that a build command starts.
    pub fn step(&self, phase: &str, command: &str) {
        let text = format!("[{phase}] $ {command}");
        self.say(&text, || json!({"event": "step", "phase": phase, "command": command}));
    }

    /// Passes on a line that a build command wrote.
    pub fn output(&self, phase: &str, stream: Stream, line: &str) {
        let name = if stream == Stream::Out { "stdout" } else { "stderr" };
        let text = format!("[{phase}] {line}");
        self.say(&text, || json!({"event": "output", "phase": phase, "stream": name, "line": line}));
    }

    /// Says what a watch sees or does, and about which commit.
    pub fn watch(&self, what: &str, commit: Option<&str>, text: &str) {
        self.say(text, || json!({"event": "watch", "what": what, "commit": commit, "text": text}));
    }

    /// Shows the failure that ends the command.
    pub fn failure(&self, failure: &Failure) {
        match self.look {
            Look::Json => self.write(
                &self
                    .stamped(json!({"event": "failure", "class": failure.exit, "exitCode": failure.exit.code(), "text": failure.what, "causes": failure.causes(), "hint": failure.hint}))
                    .to_string(),
            ),
            _ => self.write(&failure.to_string()),
        }
    }

    /// A bar over a number of bytes.
    pub fn bytes(&self, label: &str, total: u64) -> Bar<'_> {
        let style = ProgressStyle::with_template("{msg:28!} [{bar:30}] {bytes}/{total_bytes}")
            .map(|style| style.progress_chars("=> "));
        let bar = self.bars.add(ProgressBar::new(total));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let label = self.mask().apply(label).into_owned();
        bar.set_message(label.clone());
        Bar { report: self, drawn: bar, label, started: Instant::now() }
    }

    fn say(&self, text: &str, event: impl FnOnce() -> Value) {
        match self.look {
            Look::Quiet => {}
            Look::Json => self.write(&self.stamped(event()).to_string()),
            // What is hidden is looked for before anything is escaped.
            Look::Bars | Look::Plain => self.write(&printable(&self.mask().apply(text))),
        }
    }

    fn stamped(&self, mut event: Value) -> Value {
        self.mask().apply_to(&mut event);
        event["ms"] = json!(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        event
    }

    fn write(&self, text: &str) {
        // The texts of JSON were masked before they were written as such.
        let mask = self.mask();
        let text = if self.look == Look::Json { Cow::Borrowed(text) } else { mask.apply(text) };
        self.bars.suspend(|| {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(out, "{text}");
        });
    }
}

/// Progress over bytes.
pub struct Bar<'a> {
    report: &'a Report,
    drawn: ProgressBar,
    label: String,
    started: Instant,
}

impl Bar<'_> {
    /// Counts bytes that were moved.
    pub fn add(&self, bytes: u64) {
        self.drawn.inc(bytes);
    }

    /// Sets how many bytes there are in all, once that is known.
    pub fn set_total(&self, bytes: u64) {
        self.drawn.set_length(bytes);
    }

    /// Takes the bar away and, where no bars are drawn, says in one line what was moved.
    pub fn finish(self) {
        let (bytes, elapsed) = (self.drawn.position(), self.started.elapsed());
        self.drawn.finish_and_clear();
        if bytes > 0 {
            let text =
                format!("{}: {} in {:.1} s", self.label, indicatif::HumanBytes(bytes), elapsed.as_secs_f64());
            self.report.say(&text, || json!({"event": "transfer", "what": self.label, "bytes": bytes}));
        }
    }
}

/// Control characters of foreign text, escaped, so that it cannot drive a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() && c != '\t') {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// Writes a result to standard output. A closed pipe is success: the reader had enough.
pub fn print_result(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("could not write to standard output", cause))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn text_of(look: Look, act: impl FnOnce(&Report)) -> String {
        let shared = Shared::default();
        act(&Report::with(look, Box::new(shared.clone())));
        let bytes = shared.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    // row 54
    #[test]
    fn output_carries_its_phase_and_cannot_drive_a_terminal() {
        let text = text_of(Look::Plain, |report| report.output("Build", Stream::Out, "a\x1b[2Jb"));
        assert_eq!(text, "[Build] a\\u{1b}[2Jb\n");
        let text = text_of(Look::Plain, |report| report.note("fetching `x\x1b]0;y\x07`"));
        assert_eq!(text, "fetching `x\\u{1b}]0;y\\u{7}`\n");
    }

    #[test]
    fn nothing_that_is_hidden_is_shown() {
        let secret = "hunter22\nhunter33";
        let failure =
            Failure::because(crate::failure::Exit::Ours, "what hunter22", "why hunter22").hint("do hunter22");
        for look in [Look::Plain, Look::Json, Look::Quiet] {
            let text = text_of(look, |report| {
                report.hide(&[Hidden::value("a", secret.as_bytes())]);
                report.hide(&[Hidden::value("b", b"another-1")]);
                report.note("a hunter22 b another-1");
                report.warning("hunter22");
                report.diagnostic("hunter22");
                report.step("Build", "x='hunter22\nhunter33'");
                report.output("Build", Stream::Err, "hunter33");
                report.failure(&failure);
                let bar = report.bytes("push hunter22", 1);
                bar.add(1);
                bar.finish();
            });
            assert!(text.contains("***") && !text.contains("hunter") && !text.contains("another"), "{text}");
            let whole =
                look != Look::Json || text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
            assert!(whole, "{text}");
        }
    }

    #[test]
    fn quiet_shows_warnings_only() {
        let text = text_of(Look::Quiet, |report| {
            report.note("hidden");
            report.warning("seen");
        });
        assert_eq!(text, "warning: seen\n");
    }

    // row 56
    #[test]
    fn json_events_are_one_object_a_line() {
        let text = text_of(Look::Json, |report| report.step("Build", "make\n"));
        let event: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((event["event"].as_str(), event["command"].as_str()), (Some("step"), Some("make\n")));
    }
}
