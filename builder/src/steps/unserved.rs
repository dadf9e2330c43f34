//! Commands that failed while a host did not serve.

use lapstrake_sandbox::{Failure as StepEnd, HostPort, HostTrouble};

use crate::failure::{Exit, Failure};
use crate::report::printable;

/// The failure of a command, with the hosts that did not serve it. Where a package index is among them, the command may
/// well succeed when that serves again.
pub(super) fn unserved(
    failure: Failure,
    end: &StepEnd,
    troubles: &[HostTrouble],
    indexes: &[HostPort],
) -> Failure {
    if troubles.is_empty() || failure.exit != Exit::AppFailed {
        return failure;
    }
    let is_index = |trouble: &&HostTrouble| indexes.contains(&HostPort::new(&trouble.host, trouble.port));
    let is_down = troubles.iter().filter(is_index).any(|trouble| trouble.trouble.may_pass());
    let said: Vec<String> = troubles.iter().map(ToString::to_string).collect();
    let cause = Some(printable(&said.join("; ")).into());
    if is_down && matches!(end, StepEnd::Exit(_)) {
        let hint = "the package index did not serve: the same build may succeed later";
        return Failure { exit: Exit::Transient, cause, hint: Some(hint.to_owned()), ..failure };
    }
    Failure { cause, ..failure }
}

#[cfg(test)]
mod tests {
    use lapstrake_sandbox::Trouble;

    use super::*;

    #[test]
    fn net_06_a_command_that_an_index_did_not_serve_may_succeed_later() {
        let of = |host: &str, trouble, end: &StepEnd| {
            let troubles = [HostTrouble { host: host.to_owned(), port: 443, times: 4, trouble }];
            let indexes = [HostPort::new("index.example", 443)];
            let failure = unserved(Failure::new(Exit::AppFailed, "x"), end, &troubles, &indexes);
            (failure.exit, failure.causes(), failure.hint.is_some())
        };
        let (exit, causes, is_hinted) = of("index.example", Trouble::Answered(503), &StepEnd::Exit(1));
        assert_eq!((exit, is_hinted), (Exit::Transient, true));
        assert_eq!(causes, ["`index.example:443` answered 503, 4 times"]);
        // Another host may have nothing to do with it, and a certificate does not get better by waiting.
        for (host, trouble, end) in [
            ("other.example", Trouble::Silent, StepEnd::Exit(1)),
            ("index.example", Trouble::Wrong("x".to_owned()), StepEnd::Exit(1)),
            ("index.example", Trouble::Slow, StepEnd::OutOfMemory),
        ] {
            let (exit, causes, is_hinted) = of(host, trouble, &end);
            assert_eq!((exit, causes.len(), is_hinted), (Exit::AppFailed, 1, false), "{host}");
        }
        let failure = unserved(Failure::new(Exit::AppFailed, "x"), &StepEnd::Exit(1), &[], &[]);
        assert_eq!((failure.exit, failure.causes().len()), (Exit::AppFailed, 0));
    }
}
