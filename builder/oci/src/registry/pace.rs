//! The slowest transfer that still counts as one.

use std::time::{Duration, Instant};

use reqwest::Method;
use url::Url;

use super::error::RegistryError;
use super::origin::shown;

/// Bytes per second, over a whole window.
const SLOWEST: u64 = 1024;

/// Watches a transfer in windows of time.
pub(super) struct Pace {
    window: Duration,
    started: Instant,
    before: u64,
}

impl Pace {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, started: Instant::now(), before: 0 }
    }

    /// Fails if a window has passed in which too few bytes arrived. `so_far` counts from the beginning.
    pub(super) fn check(&mut self, method: &Method, url: &Url, so_far: u64) -> Result<(), RegistryError> {
        let waited = self.started.elapsed();
        if waited < self.window {
            return Ok(());
        }
        if so_far - self.before < SLOWEST * waited.as_secs() {
            return Err(RegistryError::Stalled { method: method.to_string(), url: shown(url), waited });
        }
        self.started = Instant::now();
        self.before = so_far;
        Ok(())
    }
}
