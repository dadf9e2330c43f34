//! What detection found.

use crate::command_line::StartText;
use crate::detect::{Decided, Detected};
use crate::origin::{Origin, Set};
use crate::steps::Phase;

use super::{Runtime, Settings};

impl Settings {
    /// The settings of an app without an app file.
    #[must_use]
    pub fn of_detected(found: &Detected) -> Self {
        let variables = |pairs: &[(String, Decided)]| {
            pairs.iter().map(|(name, decided)| (name.clone(), set(decided))).collect()
        };
        let runtime = Runtime::Of {
            language: found.language,
            because: found.findings.first().map(ToString::to_string).unwrap_or_default(),
            wish: found.version.clone(),
        };
        Self {
            runtime: Some(runtime),
            commands: [(Phase::Build, found.build.iter().map(set).collect())].into(),
            build_env: variables(&found.build_env),
            start: found.start.as_ref().map(|start| set(start).map(StartText::Line)),
            port: Some(Set::new(found.port, Origin::Default)),
            run_env: variables(&found.run_env),
            ..Self::default()
        }
    }
}

fn set(decided: &Decided) -> Set<String> {
    Set::new(decided.text.clone(), Origin::Detected(decided.because.to_string()))
}
