#!/usr/bin/env python3
"""Measures what the sandbox costs: build commands of sample apps in mode `strict` against the same commands in a plain
`chroot` on the same layers.

    tests/bench/overhead.py [--rounds 7] [--work DIR]

Needs root, for the overlay mount of the plain run. Both runs are interleaved; the time in the sandbox is that of the
command in the report of the build, from before its sandbox is made until nothing of it is left. What a build does around
its commands is told beside it: the app is laid out, and what they made is looked at and hashed. What needs the network is
done once, before.

The file system of DIR should be a tmpfs. An ext4 looks for minutes through the inodes of files that were deleted when new
ones are made, which costs seconds after some rounds and has nothing to do with the sandbox.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import peers

APPS = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "apps"

# The runtime, what prepares the app, and the command that is measured.
CASES = {
    "compile typescript": ("typescript", "nodejs24", "npm ci", "npm run build"),
    "compile python": ("django", "python3", "pip3 install --target lib -r requirements.txt",
                       "python3 -m compileall -q -f lib"),
    "bundle sveltekit": ("sveltekit", "nodejs22", "npm ci", "npm run build"),
    "copy files": ("typescript", "nodejs24", "npm ci", "cp -r node_modules copy && rm -rf copy"),
}


def build(app, work, command, runtime):
    """Builds with one command; its milliseconds, and those of what the build does around its commands."""
    (app / "apprunner.yaml").write_text(
        f"version: 1.0\nruntime: {runtime}\nbuild:\n  commands:\n    build:\n      - {json.dumps(command)}\n"
        "run:\n  command: sh\n")
    report = work / "report.json"
    run = [peers.LAPSTRAKE, "build", app, "--no-cache", "--output", f"oci:{work}/layout", "--data-dir",
           work / "data", "--metadata-file", report, "--progress", "plain"]
    subprocess.run([str(word) for word in run], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told = json.loads(report.read_text())
    command = sum(unit["milliseconds"] for unit in told["commands"])
    return command, told["timings"]["commands"] - command


def layers_of(work):
    """The unpacked layers of the build image of the last build. No two of them have the same file, so any order will do."""
    unpacked = [entry for uid in (work / "data/rootfs").iterdir() for entry in uid.iterdir() if entry.is_dir()]
    assert unpacked, "the build has unpacked no layer"
    return unpacked


def plain(app, work, command, lower):
    """The same command in a chroot on an overlay of the same layers; milliseconds."""
    place = pathlib.Path(tempfile.mkdtemp(dir=work))
    for name in ("upper", "work", "root", "app"):
        (place / name).mkdir()
    shutil.copytree(app, place / "app", symlinks=True, dirs_exist_ok=True)
    script = f"""
set -e
mount -t overlay overlay -o lowerdir={':'.join(map(str, lower))},upperdir={place}/upper,workdir={place}/work {place}/root
mkdir -p {place}/root/app {place}/root/proc {place}/root/dev {place}/root/tmp
mount --bind {place}/app {place}/root/app
mount -t proc proc {place}/root/proc
mount --bind /dev {place}/root/dev
cd /
start=$(date +%s%N)
chroot {place}/root /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/app \
  sh -c {json.dumps('cd /app && ' + command)} >/dev/null 2>&1
end=$(date +%s%N)
echo $(( (end - start) / 1000 ))
"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(place)
    return int(done.stdout.split()[-1]) / 1000


def prepared(name, runtime, prepare, work):
    """The app with everything that needs the network."""
    app = work / name
    shutil.rmtree(app, ignore_errors=True)
    shutil.copytree(APPS / name, app)
    build(app, work, prepare, runtime)
    # What the commands made is in the layers of the image.
    unpacked = work / (name + "-image")
    shutil.rmtree(unpacked, ignore_errors=True)
    subprocess.run(["umoci", "unpack", "--image", f"{work}/layout:latest", unpacked], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(app)
    shutil.copytree(unpacked / "rootfs/app", app, symlinks=True)
    shutil.rmtree(unpacked)
    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/dev/shm/lapstrake-overhead"))
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the plain run takes root, for its mounts")
    options.work.mkdir(parents=True, exist_ok=True)
    for title, (name, runtime, prepare, command) in CASES.items():
        shutil.rmtree(options.work / "data/rootfs", ignore_errors=True)
        app = prepared(name, runtime, prepare, options.work)
        times = {"strict": [], "around": [], "plain": []}
        build(app, options.work, command, runtime)
        lower = layers_of(options.work)
        for _ in range(options.rounds):
            inside, around = build(app, options.work, command, runtime)
            times["strict"].append(inside)
            times["around"].append(around)
            times["plain"].append(plain(app, options.work, command, lower))
        strict, around, bare = (statistics.median(times[kind]) for kind in ("strict", "around", "plain"))
        pairs = [one - other for one, other in zip(times["strict"], times["plain"])]
        over = statistics.median(pairs)
        allowed = 0.05 * bare + 100
        print(f"{title}: {strict:.0f} ms in the sandbox, {bare:.0f} ms without, {over:+.0f} ms "
              f"({'within' if over <= allowed else 'BEYOND'} {allowed:.0f} ms); {around:.0f} ms around it", flush=True)
    shutil.rmtree(options.work)


main()
