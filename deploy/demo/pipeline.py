"""The tailrace programs of the quickstart: their configuration, start, status and end."""

import fcntl
import http.client
import json
import re
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fetch import StackError, last_lines
from process import Process
from stack import find_port

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build"
BIN = BUILDS / "release" / "bin"
STATUS_TIMEOUT_S = 5
STOP_S = 60
POLL_S = 0.5


def build(log, stores, progress):
    """Builds the programs that are needed, with `progress(step, steps)` told now and then.

    What the compiler said is in the log.
    """
    programs = ["tailrace", "tailrace-capture", *(f"tailrace-{name}" for name in stores)]
    BUILDS.mkdir(exist_ok=True)
    # Two quickstarts may work in two folders, but they build in one.
    with open(BUILDS / "quickstart.lock", "w", encoding="utf-8") as lock, open(log, "wb") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["cmake", "--preset", "release"],
                        ["cmake", "--build", "--preset", "release", "--target", *programs]):
            status = run_watched(command, out, lambda: progress(*build_steps(log)))
            if status != 0:
                text = last_lines(Path(log).read_text(errors="replace"), 5)
                raise StackError(f"'{' '.join(command)}' failed: {text}; all of it is in {log}")


def run_watched(command, out, watch):
    """Runs `command` and calls `watch` until it has ended; returns its status."""
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                          stderr=out) as child:
        try:
            while True:
                try:
                    return child.wait(POLL_S)
                except subprocess.TimeoutExpired:
                    watch()
        finally:
            if child.poll() is None:
                child.terminate()


def build_steps(log):
    """Ninja's own count of what is done and what there is to do."""
    found = re.findall(r"^\[(\d+)/(\d+)\]", Path(log).read_text(errors="replace"), re.MULTILINE)
    return tuple(int(text) for text in found[-1]) if found else (0, 0)


def configuration(folder, places, stores, ports, databases):
    """tailrace.yaml as text. JSON strings are YAML strings, which keeps odd paths safe."""
    tables = json.dumps([f"{database}.*" for database in databases])

    def section(name, *lines):
        text = "".join(f"  {line}\n" for line in lines)
        return (f"{name}:\n{text}  tables: {tables}\n"
                f"  http: {{listen: \"127.0.0.1:{ports[name]}\"}}\n")

    parts = [
        "# Written by deploy/quickstart.\npipeline: quickstart\n"
        f"source:\n  host: {places['MARIADB_HOST']}\n  port: {places['MARIADB_PORT']}\n"
        f"  user: {places['MARIADB_USER']}\n"
        f"  password_file: {json.dumps(places['MARIADB_PASSWORD_FILE'])}\n"
        f"kafka:\n  bootstrap.servers: {json.dumps(places['KAFKA_BOOTSTRAP'])}\n",
        section("capture", "delivery: at-least-once"),
    ]
    if "sqlite" in stores:
        parts.append(section("sqlite", f"path: {json.dumps(str(folder / 'read.db'))}"))
    if "redis" in stores:
        parts.append(section("redis", f"url: {json.dumps(places['REDIS_URL'])}"))
    if "elasticsearch" in stores:
        parts.append(section("elasticsearch", f"urls: [{json.dumps(places['ELASTICSEARCH_URL'])}]"))
    return "".join(parts)


class Program:
    """One tailrace program that runs beside us."""

    def __init__(self, name, folder, config, port):
        self.name = name
        self.config = config
        self.port = port
        place = Path(folder) / f"tailrace-{name}"
        place.mkdir(exist_ok=True)
        self.process = Process(f"tailrace-{name}", place)

    def start(self, *arguments):
        child = self.process.spawn(
            [BIN / f"tailrace-{self.name}", "run", "--config", self.config, *arguments])
        self.process.remember(child.pid)

    def check_alive(self):
        if self.process.pid() is None:
            raise self.process.failure("ended by itself")

    def status(self):
        """The program's own status, or None while it does not answer yet."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/status",
                             timeout=STATUS_TIMEOUT_S) as answer:
                return json.load(answer)
        except (OSError, ValueError, http.client.HTTPException):
            # The last is an answer that broke off: its program has just ended.
            return None

    def stop(self):
        self.process.signal(signal.SIGTERM)
        if not self.process.wait_gone(STOP_S):
            self.process.kill()


@dataclass
class Counts:
    """What a consumer says of itself; `lag` is None while it does not say."""

    applied: int = 0
    settled: int = 0
    lag: int | None = None


class Pipeline:
    """Capture and the consumers of the chosen stores."""

    def __init__(self, folder, stores):
        self.folder = Path(folder)
        self.stores = stores
        self.config = self.folder / "tailrace.yaml"
        self.programs = {}

    def configure(self, places, databases):
        ports = {}
        for name in ("capture", *self.stores):
            ports[name] = find_port(1, set(ports.values()))
        self.config.write_text(
            configuration(self.folder, places, self.stores, ports, databases))
        self.programs = {name: Program(name, self.folder, self.config, port)
                         for name, port in ports.items()}

    def start(self):
        self.programs["capture"].start("--start", "earliest")
        for name in self.stores:
            self.programs[name].start()

    def check_alive(self):
        for program in self.programs.values():
            program.check_alive()

    def counts(self, name, before):
        """A consumer's counts; where it does not answer, those from `before` with no lag known."""
        status = self.programs[name].status() or {}
        partitions = status.get("partitions") or []
        if not partitions:
            return Counts(before.applied, before.settled, None)
        applied = sum(one.get("applied") or 0 for one in partitions)
        others = sum(one.get(end) or 0 for one in partitions
                     for end in ("stale", "superseded", "filtered", "dead"))
        return Counts(applied, applied + others, (status.get("lag") or {}).get("records"))

    def caught_up(self):
        """Capture has read to the source's head."""
        status = self.programs["capture"].status() or {}
        return (status.get("lag") or {}).get("bytes") == 0

    def captured(self):
        """Capture's position, to tell whether it moves."""
        return (self.programs["capture"].status() or {}).get("position")

    def stop(self):
        """Ends consumers and capture, all at once, each cleanly."""
        running = [program for program in self.programs.values()
                   if program.process.pid() is not None]
        for program in running:
            program.process.signal(signal.SIGTERM)
        end = time.monotonic() + STOP_S
        for program in running:
            if not program.process.wait_gone(max(0.0, end - time.monotonic())):
                program.process.kill()
