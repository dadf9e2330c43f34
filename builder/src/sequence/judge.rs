//! What would become of commands; none is run and nothing is laid out.

use lapstrake_oci::tree::FileTree;

use super::{Found, Sequence, UNCHANGED, Verdict, verdict};
use crate::failure::Failure;
use crate::state::State;
use crate::steps::{On, units};

/// What would become of the commands of a plan.
pub struct Judged {
    /// Each unit of them.
    pub verdicts: Vec<Verdict>,
    /// What they leave, where none of them has to run.
    pub state: Option<State>,
}

impl Sequence<'_> {
    /// Looks up each unit. What one makes that has to run is not known, and so neither what comes behind it.
    pub fn judge(&self, source: FileTree) -> Result<Judged, Failure> {
        let mut state = State::of_source(source);
        let mut verdicts = Vec::new();
        let mut is_apart = false;
        let mut runs: Option<String> = None;
        for unit in units(self.steps, self.flow) {
            if let Some(before) = &runs {
                verdicts.push(verdict(&unit, true, format!("it comes after `{before}`, which runs")));
                continue;
            }
            if unit.on == On::AppAlone && !is_apart {
                is_apart = true;
                state = state.app_alone();
            }
            let circumstances = self.circumstances(&unit, &state)?;
            let why = match self.find(&unit, &circumstances, &state)? {
                Found::Made(_) if unit.on == On::Scrap => Ok(()),
                Found::Made(made) => match made.applied(state.clone()) {
                    Some(after) => {
                        state = after;
                        Ok(())
                    }
                    None => Err("its entry in the cache is damaged".to_owned()),
                },
                Found::Not(why) => Err(why),
            };
            if why.is_err() && unit.on != On::Scrap {
                runs = unit.steps.first().map(|step| step.command.clone());
            }
            verdicts.push(verdict(&unit, why.is_err(), why.err().unwrap_or_else(|| UNCHANGED.to_owned())));
        }
        if On::the_image(self.flow) == On::AppAlone && !is_apart {
            state = state.app_alone();
        }
        if let Some(unit) = self.compiling(&state).filter(|_| runs.is_none()) {
            let circumstances = self.circumstances(&unit, &state)?;
            let found = self.find(&unit, &circumstances, &state)?;
            if let Found::Made(made) = found
                && let Some(after) = made.applied(state.clone())
            {
                state = after;
            }
        }
        Ok(Judged { verdicts, state: runs.is_none().then_some(state) })
    }
}
