"""What integration tests share: pipelines of real programs on the real servers.

    class Orders(tr.Case):
        def test_rows_arrive(self):
            pipe = self.pipeline(stores=["sqlite", "redis"])
            shop = pipe.database("shop")
            tr.sql(f"CREATE TABLE {shop}.orders (id INT PRIMARY KEY, v TEXT)",
                   f"INSERT INTO {shop}.orders VALUES (1, 'one')")
            pipe.start_all()
            pipe.assert_equal()

Every pipeline has a name, databases, ports and a folder of its own, so tests share one stack of
servers: $TAILRACE_STACK_DIR, or the default stack, which is started when it does not run. The
programs are those of $TAILRACE_BIN, else of build/release/bin. When a test ends, every program that
it did not end itself must still run, the account of every consumer that runs is checked, all
programs are ended, and databases, keys and indices of the pipeline are removed. A failed test says
where the programs' logs are and keeps them.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import uuid
from pathlib import Path

import pymysql

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "stack"))

from stack import Stack, find_port  # noqa: E402

SERVERS = ("mariadb", "kafka", "redis", "elasticsearch")
STORES = ("sqlite", "redis", "elasticsearch")
FULL = os.environ.get("TAILRACE_TEST_FULL") == "1"
NO_SUCH_THREAD = 1094
OUTCOMES = ("applied", "stale", "superseded", "filtered", "dead", "in_flight", "released")
START_S = 30
STOP_S = 30
ARRIVE_S = 90
SETTLE_S = 15

_stack = None


def bin_folder():
    return Path(os.environ.get("TAILRACE_BIN", ROOT / "build" / "release" / "bin"))


def stack():
    """The servers, started when they do not run."""
    global _stack
    if _stack is None:
        _stack = Stack()
        _stack.up(SERVERS)
    return _stack


def places():
    """Where the servers are: the names and values of endpoints.env."""
    return stack().endpoints()


def password():
    """What the programs log in to MariaDB with."""
    return Path(places()["MARIADB_PASSWORD_FILE"]).read_text().strip()


# --- waiting

def wait_until(condition, what, timeout_s=ARRIVE_S, step_s=0.1):
    """Calls `condition` until it gives something true, which is returned."""
    end = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(step_s)


def free_port():
    """One that is free now, outside the range that connections take theirs from."""
    return find_port(1, set(stack().ports().values()))


# --- the source

def connect(**more):
    """A connection of root to MariaDB, with autocommit."""
    settings = {"host": "127.0.0.1", "port": int(places()["MARIADB_PORT"]), "user": "root",
                "autocommit": True, "charset": "utf8mb4",
                "init_command": "SET time_zone='+00:00'"}
    settings.update(more)
    return pymysql.connect(**settings)


def sql(*statements):
    """Runs statements over a connection of their own; returns the rows of the last one."""
    link = connect()
    with link, link.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def head():
    """The end of the source's binlog as (file, offset)."""
    row = sql("SHOW MASTER STATUS")[0]
    return row[0], int(row[1])


def insert_many(table, rows, columns=""):
    """Inserts tuples of plain values, some hundred in each statement."""
    link = connect()
    with link, link.cursor() as cursor:
        marks = ",".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {table} {columns} VALUES ({marks})", rows)


def kill_dumps(run=sql):
    """KILL of every connection that reads the binlog; one may have gone by itself just now."""
    for row in run("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'"):
        try:
            run(f"KILL {row[0]}")
        except pymysql.MySQLError as error:
            if error.args[0] != NO_SUCH_THREAD:
                raise


def parse_position(text):
    """"bin.000003:5021" as (file, offset), which compares in the log's order."""
    name, _, offset = (text or "").rpartition(":")
    return name, int(offset or 0)


# --- programs

class Program:
    """One tailrace program in a folder of its own, started and ended as often as a test likes."""

    def __init__(self, name, folder, config, port=None, label=None):
        self.name = name
        self.config = Path(config)
        self.port = port
        self.folder = Path(folder)
        self.log = self.folder / f"{label or name}.log"
        self.child = None
        self.ended_by_test = False

    def path(self):
        path = bin_folder() / f"tailrace-{self.name}"
        if not path.exists():
            raise AssertionError(f"{path} is not built")
        return path

    def start(self, *arguments, env=None, command="run"):
        assert not self.running(), f"tailrace-{self.name} runs already"
        self.ended_by_test = False
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [self.path(), command, "--config", self.config, *arguments], cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **(env or {})))
        return self

    def running(self):
        return self.child is not None and self.child.poll() is None

    def expected(self):
        """Whether it should run: it was started, and the test did not end it since."""
        return self.child is not None and not self.ended_by_test

    def check_running(self):
        if not self.running():
            code = None if self.child is None else self.child.returncode
            raise AssertionError(f"tailrace-{self.name} does not run (exit {code}):\n"
                                 + self.tail())

    def kill(self):
        """SIGKILL. One that died before by itself fails the test."""
        if self.expected():
            self.check_running()
        self.ended_by_test = True
        self.child.kill()
        self.child.wait()

    def stop(self, timeout_s=STOP_S):
        """SIGTERM. One that died before, does not end in time, or ends with anything but 0 fails
        the test: a consumer whose account is wrong at its end exits with 70."""
        self.check_running()
        self.child.send_signal(signal.SIGTERM)
        code = self.wait_exit(timeout_s)
        if code != 0:
            raise AssertionError(f"tailrace-{self.name} was stopped and ended with {code}:\n"
                                 + self.tail())

    def wait_exit(self, timeout_s=STOP_S):
        """Waits until it ends; returns the exit code, which the caller judges."""
        self.ended_by_test = True
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"tailrace-{self.name} did not end within {timeout_s} s:\n"
                                 + self.tail()) from None

    def run(self, command, *arguments, env=None, timeout_s=60, stdin=subprocess.DEVNULL):
        """Runs another command of the program (check, status, reset …) to its end."""
        return subprocess.run(
            [self.path(), command, "--config", self.config, *arguments], cwd=self.folder,
            stdin=stdin, capture_output=True, text=True, timeout=timeout_s,
            env=dict(os.environ, **(env or {})), check=False)

    def status(self):
        """/status as the program serves it; None while it does not answer."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/status", timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def wait_status(self, condition=lambda status: True, what="an answer", timeout_s=START_S):
        """Waits until /status answers and `condition(status)` holds; returns that status."""
        def look():
            self.check_running()
            status = self.status()
            return status if status is not None and condition(status) else None
        try:
            return wait_until(look, f"tailrace-{self.name} /status: {what}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast: {self.status()}\n{self.tail()}") from None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=15):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_log(self, text, timeout_s=START_S):
        wait_until(lambda: text in self.log_text(), f"'{text}' in the log of {self.name}",
                   timeout_s)


def total(status, name):
    """A count of all partitions together."""
    return sum(part.get(name) or 0 for part in status.get("partitions") or [])


def assert_account(status):
    """read = applied + stale + superseded + filtered + dead + in flight + released, everywhere, and
    none is negative: what is in flight is a remainder, which would hide a record counted twice."""
    wrong = []
    for part in status["partitions"]:
        counts = {name: part.get(name) or 0 for name in OUTCOMES}
        if part["read"] != sum(counts.values()) or min(counts.values()) < 0:
            wrong.append(f"{part['topic']}[{part['partition']}]: read {part['read']}, but "
                         f"{sum(counts.values())} = {counts}")
    if wrong:
        raise AssertionError("the account does not add up: " + "; ".join(wrong))


def assert_settled(program):
    """Waits until nothing is in flight; then every record read has an outcome. Returns the status.

    A record that was lost on its way stays in flight for ever.
    """
    def settled(status):
        if status.get("partitions") is None:
            return False
        assert_account(status)
        return total(status, "in_flight") == 0
    return program.wait_status(settled, "nothing in flight", SETTLE_S)


# --- pipelines

class Pipeline:
    """One configuration and its programs. `sections` go over what is written by default."""

    def __init__(self, folder, stores=STORES, sections=None):
        self.name = "t" + uuid.uuid4().hex[:8]
        self.folder = Path(folder) / self.name
        self.folder.mkdir()
        self.stores = list(stores)
        self.databases = []
        self.began = head()
        self.config = self.folder / "tailrace.yaml"
        self.sqlite_path = self.folder / "read.db"
        self.programs = {}
        for name in ("capture", *self.stores):
            self.programs[name] = Program(name, self.folder, self.config, free_port())
        self.sections = self.default_sections()
        self.configure(**(sections or {}))

    def __getitem__(self, name):
        return self.programs[name]

    @property
    def capture(self):
        return self.programs["capture"]

    def consumers(self):
        return [self.programs[name] for name in self.stores]

    def default_sections(self):
        where = places()
        own = {"sqlite": {"path": str(self.sqlite_path)}, "redis": {"url": where["REDIS_URL"]},
               "elasticsearch": {"urls": [where["ELASTICSEARCH_URL"]]}}
        sections = {
            "pipeline": self.name,
            "source": {"host": where["MARIADB_HOST"], "port": int(where["MARIADB_PORT"]),
                       "user": where["MARIADB_USER"],
                       "password_file": where["MARIADB_PASSWORD_FILE"]},
            "kafka": {"bootstrap.servers": where["KAFKA_BOOTSTRAP"]},
            "capture": {"delivery": "at-least-once"},
        }
        for name in self.stores:
            sections[name] = own.get(name, {})
        for name, program in self.programs.items():
            sections[name]["tables"] = [f"{self.name}_*.*"]
            sections[name]["http"] = {"listen": f"127.0.0.1:{program.port}"}
        return sections

    def configure(self, **sections):
        """Changes settings (None removes one) and writes the file; it is YAML, being JSON."""
        for name, settings in sections.items():
            if not isinstance(settings, dict):
                self.sections[name] = settings
                continue
            section = self.sections.setdefault(name, {})
            section.update(settings)
            for key in [key for key, value in section.items() if value is None]:
                del section[key]
        self.config.write_text(json.dumps(self.sections, indent=1) + "\n")

    def database(self, name):
        """Creates a database that the pipeline takes; returns its name on the server."""
        full = f"{self.name}_{name}"
        sql(f"CREATE DATABASE {full} CHARACTER SET utf8mb4")
        self.databases.append(full)
        return full

    def another(self, store, label):
        """A second process of a consumer, with the same section but a port of its own."""
        path = self.folder / f"tailrace-{label}.yaml"
        port = free_port()
        section = dict(self.sections[store], http={"listen": f"127.0.0.1:{port}"})
        path.write_text(json.dumps(dict(self.sections, **{store: section})))
        self.programs[label] = Program(store, self.folder, path, port, label)
        return self.programs[label]

    def start_all(self, start=None):
        """Capture (which makes topics and shapes) and every consumer."""
        self.start_capture(start)
        for program in self.consumers():
            program.start()

    def start_capture(self, start=None, env=None):
        """`start` goes to the first start; later ones have a checkpoint to go on from. Without it
        capture begins where the source's log ended when the pipeline was made: what other tests
        left in the log is not ours."""
        first = self.capture.child is None
        start = start or f"{self.began[0]}:{self.began[1]}"
        return self.capture.start(*(["--start", start] if first else []), env=env)

    def wait_captured(self, timeout_s=ARRIVE_S):
        """Until capture has published all that the source has logged by now."""
        end = head()
        self.capture.wait_status(
            lambda status: parse_position(status.get("position")) >= end,
            f"position {end[0]}:{end[1]}", timeout_s)

    def wait_caught_up(self, timeout_s=ARRIVE_S):
        """Until capture is at the source's head, and every consumer that was not ended by the test
        has no lag."""
        self.wait_captured(timeout_s)
        for program in self.programs.values():
            if program is not self.capture and program.expected():
                program.wait_status(
                    lambda status: status.get("partitions") is not None and
                    (status.get("lag") or {}).get("records") == 0, "no lag", timeout_s)

    def compare(self, *arguments, stores=None, wait_s=ARRIVE_S):
        """Runs tests/compare; its exit is 0 when every row and column of the stores is equal."""
        command = ["/usr/bin/python3", ROOT / "tests" / "compare" / "compare.py",
                   "--endpoints", stack().folder / "endpoints.env",
                   "--database", *self.databases,
                   "--stores", ",".join(stores or self.compared()),
                   "--sqlite", self.sqlite_path, "--wait", str(wait_s), *arguments]
        return subprocess.run(command, capture_output=True, text=True,
                              timeout=wait_s + 300, check=False)

    def compared(self):
        return [name for name in self.stores if name in STORES]

    def assert_equal(self, *arguments, stores=None, wait_s=ARRIVE_S):
        """Waits until all is captured and every store equals the source."""
        self.wait_captured(wait_s)
        done = self.compare(*arguments, stores=stores, wait_s=wait_s)
        if done.returncode != 0:
            logs = "\n".join(f"--- {name}\n{program.tail()}"
                             for name, program in self.programs.items())
            raise AssertionError(f"stores differ (exit {done.returncode}):\n{done.stdout[-3000:]}"
                                 f"{done.stderr[-2000:]}\n{logs}")

    def assert_accounts(self):
        """Every program that the test did not end runs, and the consumers' accounts are settled."""
        for program in self.programs.values():
            if program.expected():
                program.check_running()
                if program is not self.capture:
                    assert_settled(program)

    def dead_letters(self, consumer):
        """(key, headers) of each record in the dead letter topic of a consumer."""
        done = subprocess.run(
            ["kcat", "-C", "-b", places()["KAFKA_BOOTSTRAP"], "-e", "-q", "-f", "%k\t%h\n",
             "-t", f"tailrace.{self.name}.dead.{consumer}"],
            capture_output=True, text=True, timeout=60, check=True)
        return [tuple(line.split("\t", 1)) for line in done.stdout.splitlines() if line]

    def end(self):
        """Ends the programs and removes what the pipeline left on the servers."""
        for program in self.programs.values():
            if program.running():
                program.kill()
        with contextlib.suppress(Exception):
            sql(*[f"DROP DATABASE IF EXISTS {name}" for name in self.databases])
        with contextlib.suppress(Exception):
            remove_redis_keys(self.name)
        with contextlib.suppress(Exception):
            remove_indices(self.name)


def redis(*words):
    """One command by redis-cli; its answer as text, without the last line end."""
    done = subprocess.run(["redis-cli", "-p", places()["REDIS_PORT"], "--raw", *words],
                          capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.rstrip("\n")


def remove_redis_keys(pipeline):
    """Keys and versions of the pipeline's databases, and its marker."""
    script = ("local n = 0; for _, p in ipairs(ARGV) do for _, k in ipairs(redis.call('keys', p)) "
              "do redis.call('del', k); n = n + 1 end end; return n")
    redis("eval", script, "0", f"{pipeline}_*", f"tailrace:v:{{{pipeline}_*",
          f"tailrace:store:{pipeline}:*")


def elasticsearch(method, path, body=None):
    """One request to Elasticsearch; the answer as it is, JSON parsed."""
    request = urllib.request.Request(
        places()["ELASTICSEARCH_URL"] + path, method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)


def remove_indices(pipeline):
    found = elasticsearch("GET", "/_cat/indices?format=json&expand_wildcards=all")
    for one in found:
        if one["index"].startswith((f"{pipeline}_", f"tailrace-{pipeline}-")):
            elasticsearch("DELETE", "/" + one["index"])


# --- tests

class Case(unittest.TestCase):
    """A test with pipelines; what it started is ended, and accounts are checked, at its end."""

    maxDiff = None

    def setUp(self):
        stack()
        self.pipelines = []
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-test-", dir="/var/tmp"))
        self.addCleanup(self.end_pipelines)

    def pipeline(self, stores=STORES, **sections):
        """A new pipeline; sections={"capture": {...}} and so on change its settings."""
        pipe = Pipeline(self.folder, stores, sections)
        self.pipelines.append(pipe)
        return pipe

    def tearDown(self):
        if self.failed():
            return
        for pipe in self.pipelines:
            pipe.assert_accounts()

    def end_pipelines(self):
        for pipe in self.pipelines:
            pipe.end()
        if self.failed():
            print(f"logs: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def failed(self):
        outcome = self._outcome
        result = getattr(outcome, "result", None)
        found = [*getattr(result, "errors", []), *getattr(result, "failures", [])]
        return not outcome.success or any(test is self for test, _ in found)


def main():
    unittest.main(verbosity=2)
