//! Runs real sandboxes, each test as an ordinary user and, where these tests are started as root, as root.
//!
//! A harness of its own: the sandbox executes this program again, which must then become the sandbox.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program fails by panicking and reports on standard output"
)]

mod harness;
mod inside;
mod isolation;
mod limits;
mod network;
mod rootfs;
mod steps;
mod terminal;

use std::process::ExitCode;

use lapstrake_sandbox::Isolation;

fn main() -> ExitCode {
    lapstrake_sandbox::enter_if_asked();
    inside::enter_if_asked();
    limits::become_victim_if_asked();
    limits::become_caller_if_asked();
    terminal::enter_if_asked();
    let everywhere = [steps::TESTS, isolation::EVERYWHERE, limits::TESTS, network::TESTS].concat();
    let without_namespaces = everywhere.clone();
    let all = [everywhere.as_slice(), isolation::TESTS].concat();
    let group = |isolation, prefix, tests| harness::Group { isolation, prefix, without_groups: false, tests };
    let bounded = |isolation, prefix| harness::Group {
        without_groups: true,
        ..group(isolation, prefix, limits::bounds())
    };
    harness::run(&[
        group(Isolation::Strict, "", all),
        group(
            Isolation::Gvisor,
            "gvisor: ",
            [steps::TESTS, isolation::ON_GUEST, &limits::on_guest(), network::TESTS].concat(),
        ),
        group(Isolation::Chroot, "chroot: ", without_namespaces.clone()),
        group(Isolation::Landlock, "landlock: ", without_namespaces),
        group(Isolation::Host, "host: ", [steps::TESTS, isolation::OPEN].concat()),
        bounded(Isolation::Strict, "no groups: "),
        bounded(Isolation::Chroot, "chroot, no groups: "),
    ])
}
