#!/usr/bin/env python3
"""Measures what is not a comparison with other programs.

    tests/bench/more.py [start] [commands] [together] [files] [--rounds 5] [--work DIR]

`start`: how long after its start the process sends its first request. `commands`: an app whose commands install packages,
with one source file changed, on a fresh machine with the registry's cache, against its first build. `together`: eight
such builds at once against eight one after the other. `files`: what a file costs in sources of 1,000 to 100,000 of them.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import time

import inputs
import peers
import service

FLASK = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "apps" / "flask"


def build(source, target, registry, data, *more):
    run = [peers.LAPSTRAKE, "build", source, "-t", target, "--catalog", f"{registry}/catalog/runtimes:latest"]
    return [str(word) for word in [*run, "--data-dir", data, "--progress", "plain", *more]]


def timed(command):
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    return path


def start(registry, options):
    app = inputs.make("small", options.work)
    times = []
    for _ in range(4 * options.rounds):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"localhost:{listener.getsockname()[1]}"
            command = build(app.directory, f"{address}/a:1", address, fresh(options.work / "state"))
            started = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            connection, _ = listener.accept()
            connection.recv(1)
            times.append(time.monotonic() - started)
            process.kill()
            process.wait()
            connection.close()
    print(f"start: first request after {1000 * statistics.median(times):.1f} ms (at most {1000 * max(times):.1f})")


def commands(registry, options):
    app = options.work / "flask"
    ratios, colds, warms, sent = [], [], [], []
    for number in range(options.rounds):
        shutil.copytree(FLASK, fresh(app))
        target, cache = f"{registry}/bench/flask{number}:1", f"{registry}/bench/cache{number}"
        cold = timed(build(app, target, registry, fresh(options.work / "one"), "--cache", cache))
        source = app / "app.py"
        source.write_text(source.read_text() + f"# round {number}\n")
        report = options.work / "report.json"
        again = build(app, target, registry, fresh(options.work / "two"), "--cache", cache, "--metadata-file", report)
        warm = timed(again)
        made = json.loads(report.read_text())
        ran = [verdict["commands"] for verdict in made["commands"] if verdict["runs"]]
        held = sum(path.stat().st_size for path in (options.work / "two").rglob("*") if path.is_file())
        assert not ran, f"commands ran: {ran}"
        colds.append(cold), warms.append(warm), ratios.append(warm / cold), sent.append((made["pushes"][0]["bytesSent"], held))
    print(
        f"commands: first build {statistics.median(colds):.2f} s; changed, on a fresh machine {statistics.median(warms):.2f} s,"
        f" {statistics.median(ratios):.3f} of it; no command ran, {sent[-1][0]} bytes of blobs sent, {sent[-1][1]} bytes on its disk"
    )


def together(registry, options):
    data = options.work / "one"
    names = [f"{registry}/bench/together{number}:1" for number in range(8)]
    timed(build(FLASK, names[0], registry, fresh(data)))
    ratios = []
    for _ in range(options.rounds):
        serial = sum(timed(build(FLASK, name, registry, data, "--no-cache")) for name in names)
        started = time.monotonic()
        running = [
            subprocess.Popen(build(FLASK, name, registry, data, "--no-cache"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for name in names
        ]
        for process in running:
            errors = process.communicate()[1].decode(errors="replace")
            assert process.returncode == 0, errors
        ratios.append((time.monotonic() - started) / (serial / os.cpu_count()))
    print(f"together: eight at once take {statistics.median(ratios):.2f} of (serial / {os.cpu_count()} processors)")


def files(registry, options):
    rows = []
    for count in (1000, 10_000, 100_000):
        app = options.work / f"files-{count}"
        if not app.exists():
            for number in range(count):
                path = app / f"d{number // 100:04}" / f"f{number}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"value = {number * number}\n" * 40)
            inputs.app_file(app, "python3", "python3 f0.py")
        rows.append((count, app))
    costs = {count: [] for count, _ in rows}
    for number in range(options.rounds):
        for count, app in rows:
            for path in app.rglob("*.py"):
                path.read_bytes()
            wall = timed(build(app, f"{registry}/bench/files{number}-{count}:1", registry, fresh(options.work / "state")))
            costs[count].append(wall)
    walls = {count: statistics.median(walls) for count, walls in costs.items()}
    counts = list(walls)
    each = [1e6 * (walls[more] - walls[less]) / (more - less) for less, more in zip(counts, counts[1:])]
    shown = "; ".join(f"{count}: {wall:.3f} s" for count, wall in walls.items())
    print(f"files: {shown}; each file between them {each[0]:.1f} and {each[1]:.1f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = {"start": start, "commands": commands, "together": together, "files": files}
    parser.add_argument("what", nargs="*", choices=[*what, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/lapstrake-bench"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    with service.Registry(options.work) as registry:
        registry.publish_catalog(peers.LAPSTRAKE)
        for name in options.what or what:
            what[name](registry.address, options)
            registry.empty()


if __name__ == "__main__":
    main()
