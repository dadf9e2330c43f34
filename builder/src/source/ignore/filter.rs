//! A walk over a tree that knows what to leave out.

use super::pattern::Text;
use super::{Effort, Exhausted, Rules, Standing};

/// Steps of matching in one walk: some hundred patterns over the most paths that a source may have take a tenth of them.
const EFFORT: u64 = 2_000_000_000;

/// Says of every path of a tree whether it is left out. Each directory has to be asked about before what is in it.
#[derive(Debug)]
pub(crate) struct Filter<'r> {
    rules: &'r Rules,
    /// The directories that lead to the current one, outermost first.
    above: Vec<(Vec<u8>, Standing)>,
    pub(super) effort: Effort,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Keep,
    /// It goes; of a directory, some of what is in it may stay, and then it stays too.
    LeaveOut,
    /// It is a directory, and goes with everything in it.
    LeaveOutWhole,
}

impl<'r> Filter<'r> {
    /// A walk that has not begun.
    #[must_use]
    pub(crate) fn new(rules: &'r Rules) -> Self {
        Self { rules, above: Vec::new(), effort: Effort(EFFORT) }
    }

    /// Says what becomes of a path: relative, without a slash at its end.
    pub(crate) fn verdict(&mut self, path: &[u8], is_directory: bool) -> Result<Verdict, Exhausted> {
        while self.above.last().is_some_and(|(directory, _)| !path.starts_with(directory)) {
            self.above.pop();
        }
        let above = self.above.last().map(|(_, standing)| standing);
        let standing = self.rules.standing(&Text::new(path), above, &mut self.effort)?;
        let left_out_by = standing.left_out_by;
        let below = [path, b"/"].concat();
        let verdict = match left_out_by {
            None => Verdict::Keep,
            Some(_) if !is_directory => Verdict::LeaveOut,
            Some(by) if self.rules.may_bring_back(&Text::new(&below), by, &mut self.effort)? => {
                Verdict::LeaveOut
            }
            Some(_) => Verdict::LeaveOutWhole,
        };
        if is_directory {
            self.above.push((below, standing));
        }
        Ok(verdict)
    }
}
