//! App files made from seeds: a sound one is read as it was made, a broken one is refused soon and with a place in it.

use std::time::{Duration, Instant};

use lapstrake::app_file::{FILE_NAME, Severity, parse};

use generators::{Choices, app_file, seeded, times};

#[path = "../fuzz/src/generators.rs"]
#[expect(dead_code, unreachable_pub, reason = "fuzz targets and other tests use the rest")]
mod generators;

#[test]
fn cfg_01_generated_app_files_are_read_as_they_were_made_or_refused() {
    let (mut sound, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for seed in 0..5000 * times(50) {
        let (text, command) = app_file(&mut Choices::new(&seeded(seed, 96)));
        let begun = Instant::now();
        let (read, diagnostics) = parse(FILE_NAME, &text);
        slowest = slowest.max(begun.elapsed());
        let is_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        assert_eq!(read.is_none(), is_error, "seed {seed}: {text}\n{diagnostics:?}");
        if command.is_some() {
            assert!(read.is_some(), "seed {seed}: {text}\n{diagnostics:?}");
            sound += 1;
        } else if is_error {
            let lines = text.lines().count() + 1;
            assert!(diagnostics.iter().all(|it| it.at.start.line <= lines), "seed {seed}: {text}");
            refused += 1;
        }
    }
    println!(
        "figure CFG-01: {sound} sound generated files read, {refused} broken ones refused, slowest {slowest:.1?}"
    );
    assert!(sound > 1000 && refused > 500, "{sound}, {refused}");
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
}
