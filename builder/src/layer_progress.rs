//! Shows how runtime layers are fetched and made.

use std::sync::{Mutex, PoisonError};

use lapstrake_runtimes::progress::{Event, Progress};

use crate::report::{Bar, Report};

/// Passes events of the runtimes on to the report.
pub struct LayerProgress<'a> {
    report: &'a Report,
    bar: Mutex<Option<(Bar<'a>, usize)>>,
}

impl<'a> LayerProgress<'a> {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(report: &'a Report) -> Self {
        Self { report, bar: Mutex::new(None) }
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<(Bar<'a>, usize)>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the bar once all of its files are there.
    fn one_fetched(&self) {
        let mut current = self.bar();
        if let Some((bar, left)) = current.take() {
            if left > 1 {
                *current = Some((bar, left - 1));
            } else {
                bar.finish();
            }
        }
    }
}

impl Progress for LayerProgress<'_> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::FetchPlanned { files: 0, .. } | Event::LayerReady { cached: true, .. } => {}
            Event::FetchPlanned { files, bytes } => {
                self.report.note(&format!("fetching {files} packages, {}", indicatif::HumanBytes(*bytes)));
                *self.bar() = Some((self.report.bytes("packages", *bytes), *files));
            }
            Event::Received { bytes } => {
                if let (Some((bar, _)), Ok(bytes)) = (&*self.bar(), u64::try_from(*bytes)) {
                    bar.add(bytes);
                }
            }
            Event::Fetched { .. } => self.one_fetched(),
            Event::Retried { name, reason } => self.report.note(&format!("fetching {name} again: {reason}")),
            Event::Damaged { name } => {
                self.report.warning(&format!("the stored copy of {name} is damaged and is fetched again"));
            }
            Event::LayerStarted { layer } => self.report.note(&format!("making layer {layer}")),
            Event::LayerReady { layer, bytes, cached: false } => {
                self.report.note(&format!("made layer {layer}, {}", indicatif::HumanBytes(*bytes)));
            }
            Event::Relocked { layer, package, from, to, gone } => {
                let (from, to) = (from.unwrap_or("nothing"), to.unwrap_or("nothing"));
                let why = if *gone { ": gone from the mirror" } else { "" };
                self.report.warning(&format!("{package} {from} -> {to}{why} (layer {layer})"));
            }
            Event::IndexRead { name } => self.report.note(&format!("reading the index of {name}")),
        }
    }
}

impl Drop for LayerProgress<'_> {
    fn drop(&mut self) {
        if let Some((bar, _)) = self.bar().take() {
            bar.finish();
        }
    }
}
