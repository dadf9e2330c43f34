//! Which layer is made next, while several are being made.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Job, MadeLayer};
use crate::local::LocalError;

/// Jobs that wait, and what has been made of others.
pub(super) struct Board<'a> {
    state: Mutex<BoardState<'a>>,
    changed: Condvar,
}

struct BoardState<'a> {
    waiting: Vec<Job<'a>>,
    made: BTreeMap<&'a str, MadeLayer>,
    failed: Option<LocalError>,
}

impl<'a> Board<'a> {
    pub(super) fn new(waiting: Vec<Job<'a>>, made: BTreeMap<&'a str, MadeLayer>) -> Self {
        Self { state: Mutex::new(BoardState { waiting, made, failed: None }), changed: Condvar::new() }
    }

    /// What has been made, or why something could not be.
    pub(super) fn finish(self) -> Result<BTreeMap<&'a str, MadeLayer>, LocalError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(state.made), Err)
    }

    /// Waits for a job whose lower layers are there; none when all are taken or one has failed.
    pub(super) fn take(
        &self,
        below: impl Fn(&Job<'a>) -> Vec<&'a str>,
    ) -> Option<(Job<'a>, BTreeMap<&'a str, MadeLayer>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.failed.is_some() || state.waiting.is_empty() {
                return None;
            }
            let BoardState { waiting, made, .. } = &mut *state;
            let is_ready = |job: &Job<'a>| below(job).iter().all(|role| made.contains_key(role));
            if let Some(at) = waiting.iter().position(is_ready) {
                return Some((waiting.remove(at), made.clone()));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn put(&self, role: &'a str, result: Result<MadeLayer, LocalError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(layer) => {
                state.made.insert(role, layer);
            }
            Err(error) => state.failed = state.failed.take().or(Some(error)),
        }
        self.changed.notify_all();
    }
}
