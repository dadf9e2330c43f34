//! On this architecture no calls of steps are answered by anyone but the kernel.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::event::Failure;
use crate::spec::Step;

/// There is none.
pub(super) enum Tracer {}

impl Tracer {
    pub(super) fn new(_: OwnedFd, _: Option<&Path>) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn try_out(tracer: Option<&Self>) -> io::Result<()> {
        tracer.map_or(Ok(()), |tracer| match *tracer {})
    }

    pub(super) fn signals(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub(super) fn running(&self) -> bool {
        match *self {}
    }

    pub(super) fn start(&mut self, _: &Step) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn terminate(&self) {
        match *self {}
    }

    pub(super) fn attend(&mut self) -> io::Result<Option<Result<(), Failure>>> {
        match *self {}
    }
}
