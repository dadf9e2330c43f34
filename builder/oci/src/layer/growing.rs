//! A blob that is sent while it is still being made.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::watch;

/// How far the making of a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// So many bytes are there, and more may come.
    Growing(u64),
    /// All of them are there.
    Whole(u64),
    /// It will never be whole.
    Broken,
}

/// A blob that is being written to a file, for whoever sends it before it is whole. The bytes stay where they are, so
/// they can be read again from the first.
#[derive(Clone, Debug)]
pub struct Growing {
    file: Arc<File>,
    stage: watch::Receiver<Stage>,
}

/// The end of a [`Growing`] that is written to. Dropped before [`Grower::end`], it leaves the blob broken.
#[derive(Debug)]
pub(super) struct Grower {
    stage: watch::Sender<Stage>,
}

impl Growing {
    /// Follows what is written to a file.
    pub(super) fn new(file: File) -> (Grower, Self) {
        let (sender, receiver) = watch::channel(Stage::Growing(0));
        (Grower { stage: sender }, Self { file: Arc::new(file), stage: receiver })
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let stage = *self.stage.borrow();
        match stage {
            // Nobody is left to write the rest.
            Stage::Growing(_) if self.stage.has_changed().is_err() => match *self.stage.borrow() {
                Stage::Growing(_) => Stage::Broken,
                ended => ended,
            },
            stage => stage,
        }
    }

    /// Waits until there are more than `bytes`, or no more will come.
    pub(crate) async fn beyond(&mut self, bytes: u64) -> Stage {
        let is_enough = |stage: &Stage| !matches!(stage, Stage::Growing(written) if *written <= bytes);
        match self.stage.wait_for(is_enough).await {
            Ok(stage) => *stage,
            Err(_) => Stage::Broken,
        }
    }

    /// Reads what is there at an offset, at most as much as fits.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl Grower {
    pub(super) fn grown(&self, bytes: u64) {
        self.stage.send_replace(Stage::Growing(bytes));
    }

    pub(super) fn end(&self, bytes: u64) {
        self.stage.send_replace(Stage::Whole(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_whose_writer_is_gone_is_broken_and_a_whole_one_is_not() {
        let (grower, growing) = Growing::new(tempfile::tempfile().unwrap());
        grower.grown(3);
        assert_eq!(growing.stage(), Stage::Growing(3));
        drop(grower);
        assert_eq!(growing.stage(), Stage::Broken);
        let (grower, growing) = Growing::new(tempfile::tempfile().unwrap());
        grower.end(5);
        drop(grower);
        assert_eq!(growing.stage(), Stage::Whole(5));
    }
}
