"""The applications that are built, made once and kept.

Packages come through the ordinary clients of their registries, with versions that are fixed here, so that two machines
measure the same files.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tarfile

PYTHON = [
    "--no-compile", "--only-binary", ":all:", "--python-version", "3.13", "--implementation", "cp",
    "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
    "--no-deps", "--root-user-action", "ignore", "--quiet", "--disable-pip-version-check",
]  # fmt: skip

MEDIUM = """Django==5.2.19 Flask==3.1.3 Jinja2==3.1.6 MarkupSafe==3.0.4 SQLAlchemy==2.1.9 Werkzeug==3.1.9 asgiref==3.13.0
celery==5.7.0 click==8.5.1 cryptography==50.0.2 gunicorn==27.0.1 itsdangerous==2.2.0 kombu==5.7.0 pillow==13.0.0
psycopg2-binary==2.9.13 pydantic==2.14.4 pydantic_core==2.50.5 redis==8.1.0 requests==2.34.2 sqlparse==0.6.1
typing_extensions==4.16.0 urllib3==2.8.0"""

ONEGB = """duckdb==2.0.1 flatbuffers==25.12.19 numpy==2.4.6 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93
packaging==26.4 pandas==3.1.1 polars==2.1.0 polars-runtime-32==2.1.0 protobuf==7.36.2 pyarrow==26.0.1
python-dateutil==2.9.0.post0 scipy==1.17.1 tzdata==2026.6 Django==5.2.19 SQLAlchemy==2.1.9"""

LARGE = """next@16.4.6 aws-sdk@2.1693.0 @aws-sdk/client-s3@3.1175.0 @aws-sdk/client-ec2@3.1169.0
@aws-sdk/client-dynamodb@3.1169.0 @aws-sdk/client-sqs@3.1175.0 eslint@10.15.0 jest@30.5.2 webpack@5.113.0
@mui/material@9.5.0 @emotion/react@11.14.0 @emotion/styled@11.14.1 react@19.3.1 react-dom@19.3.1 typescript@7.0.2"""

CHANGE = "# changed\n"

WORDS = (
    "def return self value import from class for in if else None True request response handler config data load store"
    " cache user session token parse format render model field query index result error raise with open close"
).split()


class App:
    """One application: its directory, and the same as archives."""

    def __init__(self, name, base, runtime, command, directory):
        self.name, self.base, self.runtime, self.command, self.directory = name, base, runtime, command, directory
        self.changes = self.source_file.read_text().count(CHANGE) if self.source_file.exists() else 0

    @property
    def source_file(self):
        """The file that differs in the states `changed` and `cichanged`."""
        return self.directory / "src" / "m1.py"

    @property
    def tar(self):
        return self.archive("tar")

    @property
    def tar_gz(self):
        return self.archive("tar.gz")

    def archive(self, kind):
        """The archive with what the directory holds now."""
        return self.directory.with_name(f"{self.name}{f'-{self.changes}' if self.changes else ''}.{kind}")

    def change(self, changes):
        """Makes the source file one with so many lines more than it had."""
        if changes != self.changes:
            text = self.source_file.read_text().replace(CHANGE, "")
            self.source_file.write_text(text + CHANGE * changes)
            # A file that was written a moment ago may change once more without a trace: builders read it again.
            moment = 1_700_000_000 + changes
            os.utime(self.source_file, (moment, moment))
            self.changes = changes

    def pack(self):
        """Packs the archives of all; the plain ones have their files below /app, as a layer has."""

        def plain(info):
            info.uid = info.gid = 1000
            info.uname = info.gname = ""
            info.mtime = 315619200
            return info

        for changes in (2, 1, 0):
            self.change(changes)
            for path, mode, below in ((self.tar, "w", "app"), (self.tar_gz, "w:gz", ".")):
                with tarfile.open(path, mode, format=tarfile.PAX_FORMAT, **({"compresslevel": 6} if "gz" in mode else {})) as tar:
                    tar.add(self.directory, below, filter=plain)

    def sizes(self):
        """How many files there are, and how many bytes."""
        files = [path for path in self.directory.rglob("*") if path.is_file() and not path.is_symlink()]
        return len(files), sum(path.stat().st_size for path in files)


def sources(directory, count):
    """Writes files of words that compress as source text does."""
    directory.mkdir(parents=True)
    for number in range(1, count + 1):
        chance = random.Random(number)
        text = []
        while sum(map(len, text)) < 6800:
            words = [chance.choice(WORDS) + (str(chance.randint(0, 999)) if chance.random() < 0.5 else "") for _ in range(7)]
            text.append("    " * chance.randint(0, 3) + " ".join(words) + "\n")
        (directory / f"m{number}.py").write_text("".join(text))


def app_file(directory, runtime, command):
    (directory / "apprunner.yaml").write_text(
        f"version: 1.0\nruntime: {runtime}\nbuild:\n  commands:\n    build: []\nrun:\n  command: {command}\n"
    )


def make(name, work):
    """The application of a name, made unless it is there."""
    directory = work / name
    python = ("python3", "python3", "python3 src/m1.py")
    node = ("nodejs22", "nodejs22", "node src/index.js")
    base, runtime, command = node if name == "large" else python
    if directory.with_name(f"{name}.tar.gz").exists():
        app = App(name, base, runtime, command, directory)
        app.change(0)
        return app
    shutil.rmtree(directory, ignore_errors=True)
    sources(directory / "src", 98)
    app_file(directory, runtime, command)
    if name in ("medium", "onegb"):
        packages = (MEDIUM if name == "medium" else ONEGB).split()
        run = ["python3", "-m", "pip", "install", *PYTHON, "--target", directory / "site-packages", *packages]
        subprocess.run(run, check=True)
    if name == "large":
        (directory / "package.json").write_text('{"name": "large", "version": "1.0.0", "private": true}\n')
        run = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", *LARGE.split()]
        subprocess.run(run, check=True, cwd=directory, stdout=subprocess.DEVNULL)
    for link in [path for path in directory.rglob("*") if path.is_symlink()]:
        # Links between packages are the same work for everybody, but not all peers keep them.
        link.unlink()
    app = App(name, base, runtime, command, directory)
    app.pack()
    return app


def tools(work):
    """Where npm keeps peers that are its packages."""
    directory = pathlib.Path(work) / "npm"
    if not (directory / "node_modules" / ".bin" / "containerify").exists():
        directory.mkdir(parents=True, exist_ok=True)
        run = ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix", directory, "containerify@4.1.0"]
        subprocess.run(run, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return directory / "node_modules" / ".bin"
