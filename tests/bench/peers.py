"""The programs that are measured, each as a list of commands that bring an application onto a base and push it."""

import os
import pathlib
import shutil

BUILT = pathlib.Path(__file__).resolve().parents[2] / "target" / "release" / "lapstrake"
# Another build of this program may be measured instead.
LAPSTRAKE = pathlib.Path(os.environ.get("LAPSTRAKE_BENCH_BINARY", BUILT))


class Job:
    """What has to be done once: which application goes where, and where local state may be kept."""

    def __init__(self, app, registry, repository, state):
        self.app, self.registry, self.repository, self.state = app, registry, repository, state
        self.target = f"{registry}/{repository}:1"
        self.base = f"{registry}/catalog/runtimes:{app.base}"


def lapstrake(*options, archive=False, cache=False):
    def commands(job):
        source = job.app.tar_gz if archive else job.app.directory
        run = [LAPSTRAKE, "build", source, "-t", job.target, "--catalog", f"{job.registry}/catalog/runtimes:latest"]
        run += ["--data-dir", job.state, "--progress", "plain", *options]
        if cache:
            run += ["--cache", f"{job.registry}/{job.repository}-cache"]
        return [run]

    return commands


def crane(tar):
    def commands(job):
        run = ["crane", "mutate", job.base, "--append", getattr(job.app, tar), "-t", job.target]
        run += ["--workdir", "/app", "--env", "PORT=8080", "--cmd", job.app.command.replace(" ", ",")]
        return [[*run, "--insecure"]]

    return commands


def umoci(job):
    layout = job.state / "layout"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet"]
    return [
        [*copy, "--src-tls-verify=false", f"docker://{job.base}", f"oci:{layout}:app"],
        ["umoci", "insert", "--image", f"{layout}:app", job.app.directory, "/app"],
        ["umoci", "config", "--image", f"{layout}:app", "--config.workingdir", "/app", "--config.env", "PORT=8080"],
        [*copy, "--dest-tls-verify=false", f"oci:{layout}:app", f"docker://{job.target}"],
    ]


def buildah(job):
    run = ["buildah", "--root", job.state / "root", "--runroot", job.state / "run", "--storage-driver", "overlay"]
    script = job.state / "Containerfile"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"FROM {job.base}\nWORKDIR /app\nENV PORT=8080\nCOPY . /app\nCMD {job.app.command}\n")
    build = ["build", "--tls-verify=false", "--layers", "--isolation", "chroot", "-q", "-f", script, "-t", job.target]
    return [
        [*run, *build, job.app.directory],
        [*run, "push", "-q", "--tls-verify=false", job.target, f"docker://{job.target}"],
    ]


def buildkit(job):
    script = job.state / "Dockerfile"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"FROM {job.base}\nWORKDIR /app\nENV PORT=8080\nCOPY . /app\nCMD {job.app.command}\n")
    run = ["buildctl", "build", "--progress", "quiet", "--frontend", "dockerfile.v0", "--local", f"context={job.app.directory}"]
    return [[*run, "--local", f"dockerfile={job.state}", "--output", f"type=image,name={job.target},push=true,registry.insecure=true"]]


def containerify(path):
    def commands(job):
        run = [path, "--fromImage", f"catalog/runtimes:{job.app.base}", "--fromRegistry", f"http://{job.registry}/v2/"]
        run += ["--folder", job.app.directory, "--toRegistry", f"http://{job.registry}/v2/", "--toImage", f"{job.repository}:1"]
        run += ["--customContent", ".:/app", "--workdir", "/app", "--entrypoint", job.app.command]
        return [[*run, "--doCrossMount", "--allowInsecureRegistries", "--allowNoPushAuth"]]

    return commands


def all_peers(npm):
    """Every program by its name: what has to be on PATH for it, and its commands."""
    return {
        "lapstrake": (LAPSTRAKE, lapstrake()),
        "lapstrake, cache in the registry": (LAPSTRAKE, lapstrake(cache=True)),
        "lapstrake, gzip:6": (LAPSTRAKE, lapstrake("--compression", "gzip:6")),
        "lapstrake, zstd": (LAPSTRAKE, lapstrake("--compression", "zstd")),
        "lapstrake, .tar.gz": (LAPSTRAKE, lapstrake(archive=True)),
        "lapstrake, .tar.gz, cache in the registry": (LAPSTRAKE, lapstrake(archive=True, cache=True)),
        "crane": ("crane", crane("tar")),
        "crane, .tar.gz": ("crane", crane("tar_gz")),
        "umoci + skopeo": ("umoci", umoci),
        "buildah": ("buildah", buildah),
        "buildkit": ("buildctl", buildkit),
        "containerify": (npm / "containerify", containerify(npm / "containerify")),
    }


# Never run, and why.
LEFT_OUT = {"kaniko": "it empties the file system that it runs on"}


def installed(program):
    return shutil.which(str(program)) is not None
