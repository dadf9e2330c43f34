#!/usr/bin/env python3
"""Measures whole processes: this program and its peers, in interleaved rounds on the same inputs.

    tests/bench/run.py [--apps small,medium,large,onegb] [--states cold,warm,changed,ciwarm,cichanged] [--rounds 5]
                       [--peers lapstrake,crane,...] [--delay 40] [--work DIR]

Needs target/release/lapstrake, docker-registry, pip and npm. Peers that are not on PATH are skipped by name. Every round
takes a repository of its own; the states follow one another: `cold` (the repository is empty, nothing is kept on this
machine), `warm` (the same again), `changed` (one source file differs), `ciwarm` (that again, with nothing kept on this
machine), `cichanged` (the file differs once more, and nothing is kept on this machine). Wall times are compared within a round, and the medians of the ratios are printed. Requests and bytes are
counted in a round of its own, through a proxy that would disturb the times.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import inputs
import peers
import service

MEASURED = pathlib.Path(__file__).with_name("measured.py")
STATES = ["cold", "warm", "changed", "ciwarm", "cichanged"]


class Measured:
    """What one state took: seconds of wall and of processor time, and bytes of memory of the largest process."""

    def __init__(self, wall, cpu, memory):
        self.wall, self.cpu, self.memory = wall, cpu, memory


def run(commands, environment):
    """Runs commands one after the other, as one measurement."""
    wall, cpu, memory = 0.0, 0.0, 0
    for command in commands:
        measured = [sys.executable, "-S", "-E", MEASURED, *(str(word) for word in command)]
        done = subprocess.run(measured, capture_output=True, env=environment)
        took = json.loads(done.stdout)
        if took["code"] != 0:
            sys.exit(f"{command[0]} failed with {took['code']}:\n{done.stderr.decode(errors='replace')[-3000:]}")
        wall, cpu, memory = wall + took["wall"], cpu + took["cpu"], max(memory, took["memory"])
    return Measured(wall, cpu, memory)


def warm_up(app):
    """Reads every input once: what the page cache has lost would be measured otherwise."""
    for path in [*app.directory.parent.glob(f"{app.name}*.tar*"), *app.directory.rglob("*")]:
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def states_of(name, commands, app, options, registry, number, measure):
    """Runs the states of one peer in one round, as far as they are asked for."""
    state = options.work / "state" / name.replace(" ", "-").replace(",", "")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    job = peers.Job(app, registry, f"bench/{app.name}-{number}-{abs(hash(name)) % 10**8}", state)
    results = {}
    for kind in STATES[: 1 + max(STATES.index(kind) for kind in options.states)]:
        if kind == "changed":
            app.change(1)
        if kind == "cichanged":
            app.change(2)
        if kind in ("ciwarm", "cichanged"):
            shutil.rmtree(state, ignore_errors=True)
            state.mkdir(parents=True)
        results[kind] = measure(commands(job), kind)
    app.change(0)
    shutil.rmtree(state, ignore_errors=True)
    return results


def table(rows, head):
    """A table of Markdown."""
    rows = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def megabytes(count):
    return f"{count / 1e6:.1f}" if count < 100e6 else f"{count / 1e6:.0f}"


def report(app, options, rounds, counted):
    files, size = app.sizes()
    print(f"\n### {app.name}: {files} files, {size / 1e6:.1f} MB" + (f", {options.delay} ms" if options.delay else ""))
    for kind in options.states:
        rows = []
        for name in rounds[0]:
            of = [one[name][kind] for one in rounds]
            reference = [one["crane"][kind].wall for one in rounds] if "crane" in rounds[0] else None
            cpu = [one["crane"][kind].cpu for one in rounds] if reference else None
            ratio = lambda ours, theirs: f"{statistics.median(a / b for a, b in zip(ours, theirs)):.3f}" if theirs else "-"
            requests = counted.get(name, {}).get(kind)
            rows.append([
                name,
                f"{statistics.median(one.wall for one in of):.3f}",
                ratio([one.wall for one in of], reference),
                f"{statistics.median(one.cpu for one in of):.2f}",
                ratio([one.cpu for one in of], cpu),
                megabytes(max(one.memory for one in of)),
                *([requests.requests, requests.connections, megabytes(requests.sent), megabytes(requests.received)] if requests else ["-"] * 4),
            ])  # fmt: skip
        head = [kind, "wall s", "x crane", "CPU s", "x crane", "MB", "requests", "connections", "sent MB", "received MB"]
        print(table(rows, head), flush=True)
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: text.split(",")
    parser.add_argument("--apps", type=words, default=["small", "medium", "large", "onegb"])
    parser.add_argument("--states", type=words, default=STATES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=lambda text: text.split(";"), help="names with semicolons between them; all that are installed by default")
    parser.add_argument("--delay", type=int, default=0, help="milliseconds of round trip to the registry")
    parser.add_argument("--no-count", action="store_true", help="leave out the round that counts requests")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/lapstrake-bench"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    everyone = peers.all_peers(inputs.tools(options.work))
    chosen = {name: what for name, what in everyone.items() if not options.peers or name in options.peers}
    for name, reason in peers.LEFT_OUT.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    for name in [name for name, (program, _) in chosen.items() if not peers.installed(program)]:
        print(f"skipped: {name} is not installed", file=sys.stderr)
        del chosen[name]
    environment = {**os.environ, "TMPDIR": str(options.work)}
    with service.Registry(options.work) as registry:
        registry.publish_catalog(peers.LAPSTRAKE)
        for wanted in options.apps:
            app = inputs.make(wanted, options.work)
            warm_up(app)
            counted = {}
            if not options.no_count:
                with service.Proxy(registry.address, 0) as proxy:
                    for name, (_, commands) in chosen.items():
                        def counting(run_these, kind):
                            proxy.reset()
                            run(run_these, environment)
                            return proxy.counted()
                        counted[name] = states_of(name, commands, app, options, proxy.address, "count", counting)
            rounds = []
            with service.Proxy(registry.address, options.delay) if options.delay else service.Direct(registry.address) as way:
                for number in range(options.rounds):
                    one = {}
                    for name, (_, commands) in chosen.items():
                        one[name] = states_of(name, commands, app, options, way.address, number, lambda these, kind: run(these, environment))
                        registry.empty()
                    rounds.append(one)
                    print(f"round {number + 1} of {wanted}", file=sys.stderr, flush=True)
            report(app, options, rounds, counted)


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
