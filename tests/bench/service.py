"""The registry of the measurements, and a proxy that counts and delays what goes to it."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """A registry server of our own, on loopback, with its data in memory where the machine has a place for that."""

    def __init__(self, work):
        memory = pathlib.Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free > 8 << 30
        self.directory = (memory if roomy else work) / f"lapstrake-bench-registry-{os.getpid()}"
        self.work = work
        self.address = f"localhost:{free_port()}"

    def __enter__(self):
        self.directory.mkdir(parents=True)
        configuration = self.directory / "config.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.directory}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: 127.0.0.1:{self.address.split(':')[1]}}}\n"
        )
        log = open(self.work / "registry.log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", configuration], stdout=log, stderr=log)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", int(self.address.split(":")[1])), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the registry does not answer")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def publish_catalog(self, lapstrake):
        """Publishes the runtimes that the applications are built on."""
        data, layout = self.work / "runtimes", self.work / "catalog"
        shutil.rmtree(layout, ignore_errors=True)
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        build = [lapstrake, "catalog", "build", "python3", "nodejs22", "--platform", "linux/amd64", "--layout", layout]
        subprocess.run([*build, "--data-dir", data], **quiet)
        name = f"{self.address}/catalog/runtimes"
        subprocess.run([lapstrake, "catalog", "publish", layout, name, "--data-dir", data], **quiet)
        subprocess.run([lapstrake, "catalog", "promote", name, "r1", "--data-dir", data], **quiet)
        # Other programs find the image that ours takes its layers from under a tag.
        for entry in ("python3", "nodejs22"):
            show = [lapstrake, "catalog", "show", entry, "--catalog", f"{name}:latest", "--data-dir", data, "--format", "json"]
            found = json.loads(subprocess.run(show, check=True, capture_output=True).stdout)
            digest = found["platforms"]["linux/amd64"]["run"]["manifest"]
            copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
            subprocess.run([*copy, "--preserve-digests", f"docker://{name}@{digest}", f"docker://{name}:{entry}"], **quiet)

    def empty(self):
        """Forgets the images of the rounds; the catalog stays."""
        root = self.directory / "data" / "docker" / "registry" / "v2"
        keep = {link.read_text().strip().removeprefix("sha256:") for link in (root / "repositories" / "catalog").rglob("link")}
        shutil.rmtree(root / "repositories" / "bench", ignore_errors=True)
        for blob in (root / "blobs" / "sha256").glob("*/*"):
            if blob.name not in keep:
                shutil.rmtree(blob, ignore_errors=True)


class Direct:
    """No proxy at all."""

    def __init__(self, address):
        self.address = address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Counted:
    def __init__(self, requests, connections, sent, received):
        self.requests, self.connections, self.sent, self.received = requests, connections, sent, received


METHODS = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ")


class Proxy:
    """Passes bytes on. It counts connections, requests and bytes, and adds half of a round trip in each direction."""

    def __init__(self, address, delay):
        self.upstream = ("127.0.0.1", int(address.split(":")[1]))
        self.half = delay / 2000
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.numbers = [0, 0, 0, 0]

    def counted(self):
        with self.lock:
            return Counted(*self.numbers)

    def add(self, place, count):
        with self.lock:
            self.numbers[place] += count

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        # The handshake is a round trip of its own.
        time.sleep(2 * self.half)
        self.add(1, 1)
        server = socket.create_connection(self.upstream)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
        self.pump(server, client, False)

    def pump(self, source, sink, is_request):
        """Each piece waits for its time; what comes meanwhile is read, so that only latency is added."""
        waiting, more = [], threading.Condition()

        def write():
            while True:
                with more:
                    while not waiting:
                        more.wait()
                    due, data = waiting.pop(0)
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                try:
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(data)
                except OSError:
                    return

        threading.Thread(target=write, daemon=True).start()
        data = True
        while data:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b""
            if is_request and data.startswith(METHODS):
                self.add(0, 1)
            self.add(2 if is_request else 3, len(data))
            with more:
                waiting.append((time.monotonic() + self.half, data))
                more.notify()
