#!/usr/bin/python3
"""deploy/stack and deploy/quickstart, as a user sees them.

Starts its own servers in private folders; the servers of other stacks are not touched.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import pymysql

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy" / "stack"), str(ROOT / "deploy" / "demo")]

import quickstart  # noqa: E402
import stack as stack_module  # noqa: E402
from stack import Stack, StackError, read_endpoints  # noqa: E402

FULL = os.environ.get("TAILRACE_TEST_FULL") == "1"
LOAD = () if FULL else ("--stores", "sqlite", "--sysbench-seconds", "3")
# A store's progress: its bar, rows applied, rate and lag.
PROGRESS = r"  {} +\[#*\.*\] +\d+ % +[\d,]+ rows +[\d,]+/s  lag +[\d,]+\n"
# Longer than the quickstart's own limits (300 s for a server that does not answer, or while nothing
# moves), so that it says itself what is wrong. A short run takes 40 s, and 260 s beside twenty
# processes that want the same two cores.
QUICKSTART_S = 900


def quiet(_text):
    """What the stack would say while it works."""


def running_in(folder):
    """Command lines that name the folder, of processes that live."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in line:
            found.append(line)
    return found


class StackTest(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory(prefix="tailrace-stack-", dir="/var/tmp")
        self.addCleanup(self.temp.cleanup)
        # A folder of mode 0700 must not stop servers that run as other users.
        Path(self.temp.name).chmod(0o711)
        self.stack = Stack(self.temp.name + "/s", say=quiet)
        self.addCleanup(self.stack.down)

    def connect(self):
        return pymysql.connect(host="127.0.0.1", port=int(self.stack.endpoints()["MARIADB_PORT"]),
                               user="root", autocommit=True)

    def query(self, sql):
        link = self.connect()
        with link, link.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def test_data_and_port_stay_over_kill_stop_and_start(self):
        places = self.stack.up(["mariadb", "redis"])
        self.query("CREATE DATABASE kept")
        for end in (self.stack.kill, self.stack.stop):
            end("mariadb")
            with self.assertRaises(pymysql.MySQLError):
                self.connect()
            self.stack.start("mariadb")
            self.assertEqual(self.query("SHOW DATABASES LIKE 'kept'"), (("kept",),))
        self.assertEqual(self.stack.endpoints(), places)
        self.assertEqual(read_endpoints(self.stack.folder / "endpoints.env"), places)

    def test_extra_options_hold_for_one_start(self):
        self.stack.up(["mariadb"], {"mariadb": ["--log-bin-compress=1"]})
        self.assertEqual(self.query("SELECT @@log_bin_compress"), ((1,),))
        self.stack.restart("mariadb")
        self.assertEqual(self.query("SELECT @@log_bin_compress"), ((0,),))

    def test_account_and_tls(self):
        places = self.stack.up(["mariadb"])
        secret = Path(places["MARIADB_PASSWORD_FILE"])
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)
        settings = {"host": "localhost", "port": int(places["MARIADB_PORT"]), "user": "tailrace",
                    "password": secret.read_text().strip(), "ssl_verify_cert": True,
                    "ssl_verify_identity": True}
        link = pymysql.connect(ssl_ca=places["MARIADB_CA"], **settings)
        with link, link.cursor() as cursor:
            cursor.execute("SHOW GRANTS")
            self.assertIn("SELECT, REPLICATION SLAVE, BINLOG MONITOR", cursor.fetchone()[0])
            cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
            self.assertIn("TLS", cursor.fetchone()[1])
        with self.assertRaises(pymysql.MySQLError):
            pymysql.connect(ssl_ca=places["MARIADB_WRONG_CA"], **settings)

    def test_another_server_that_starts_removes_no_temporary_table(self):
        self.stack.up(["mariadb"])
        other = Stack(self.temp.name + "/t", say=quiet)
        self.addCleanup(other.down)
        link = self.connect()
        with link, link.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE mysql.mine (a INT) ENGINE=Aria")
            other.up(["mariadb"])
            cursor.execute("DROP TABLE mysql.mine")

    def test_one_that_fails_stops_the_others_of_the_call(self):
        words = "mariadb ended while starting(.|\n)*no-such-option"
        with self.assertRaisesRegex(StackError, words):
            self.stack.up(["mariadb", "redis"], {"mariadb": ["--no-such-option"]})
        self.assertFalse(any(server.running() for server in self.stack.known()))

    def test_a_running_server_is_left_alone(self):
        self.stack.up(["redis"])
        pid = self.stack.server("redis").process.pid()
        self.stack.up(["redis"])
        self.assertEqual(self.stack.server("redis").process.pid(), pid)

    def test_servers_outlive_the_script_and_hold_no_descriptor_of_it(self):
        command = [str(ROOT / "deploy/stack/stack"), "up", "--only", "redis", "--dir",
                   str(self.stack.folder)]
        # The pipes close although the server lives on, or this would not return.
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        self.assertIn(b"REDIS_URL=", done.stdout)
        pid = self.stack.server("redis").process.pid()
        self.assertIsNotNone(pid)
        open_files = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        self.assertNotIn(str(self.stack.folder / "lock"), open_files)

    def test_an_interrupted_start_leaves_nothing_running(self):
        command = [str(ROOT / "deploy/stack/stack"), "up", "--only", "mariadb,redis", "--dir",
                   str(self.stack.folder)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            # MariaDB's data folder is being made: a moment at which several programs run.
            end = time.monotonic() + 60
            while not (self.stack.folder / "mariadb/data.new").exists():
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(120), 130)
        self.assertEqual(running_in(self.stack.folder), [])

    def test_a_port_in_use_is_refused_before_anything_is_made(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            other = Stack(self.temp.name + "/other", {"redis": port}, say=quiet)
            with self.assertRaisesRegex(StackError, f"port {port} for redis is in use"):
                other.up(["mariadb", "redis"])
            self.assertFalse(other.folder.exists())
            self.quickstart_refuses("is in use", "--port", f"redis={port}")

    def test_too_little_memory_is_refused_before_anything_is_made(self):
        with mock.patch.object(stack_module, "memory_free_mb", lambda: 5000):
            with self.assertRaisesRegex(StackError, "4.9 GB of memory are free.* need 6.0 GB"):
                self.stack.up()
        self.assertFalse(self.stack.folder.exists())

    def test_no_network_is_refused_before_anything_is_started(self):
        text = self.quickstart_refuses(
            "needs the network", "--stores", "redis", status=2, prefix=["unshare", "-n"],
            TAILRACE_STACK_CACHE=self.temp.name + "/cache",
            MAVEN_OPTS=f"-Dmaven.repo.local={self.temp.name}/repository")
        self.assertIn("Kafka", text)
        self.assertEqual(list(Path(self.temp.name, "cache").iterdir()), [])

    def quickstart_refuses(self, words, *arguments, status=1, prefix=(), **env):
        """The quickstart ends at once with the words in its last line and leaves no folder."""
        folder = Path(self.temp.name, "quickstart")
        done = subprocess.run(
            [*prefix, str(ROOT / "deploy/quickstart"), "--once", *arguments], text=True,
            capture_output=True, check=False, timeout=120,
            env=dict(os.environ, TAILRACE_QUICKSTART_DIR=str(folder), **env))
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(words, done.stderr.splitlines()[-1])
        self.assertFalse(folder.exists())
        return done.stderr

    def test_a_folder_of_somebody_else_is_not_removed(self):
        Path(self.temp.name, "mine").write_text("x")
        with self.assertRaisesRegex(StackError, "holds no stack"):
            Stack(self.temp.name, say=quiet).down(remove=True)
        done = subprocess.run([str(ROOT / "deploy/quickstart"), "clean"], capture_output=True,
                              check=False, text=True, timeout=30,
                              env=dict(os.environ, TAILRACE_QUICKSTART_DIR=self.temp.name))
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no quickstart folder", done.stderr)
        self.assertTrue(Path(self.temp.name, "mine").exists())


class QuickstartTest(unittest.TestCase):
    """Whole runs: with one store and a short load, or as a user gets it with
    TAILRACE_TEST_FULL=1."""

    def setUp(self):
        self.temp = tempfile.TemporaryDirectory(prefix="tailrace-quickstart-", dir="/var/tmp")
        self.addCleanup(self.temp.cleanup)
        Path(self.temp.name).chmod(0o711)
        self.folder = Path(self.temp.name, "q")
        self.env = dict(os.environ, TAILRACE_QUICKSTART_DIR=str(self.folder))
        self.addCleanup(self.clean)

    def clean(self):
        return subprocess.run([str(ROOT / "deploy/quickstart"), "clean"], env=self.env, text=True,
                              capture_output=True, check=False, timeout=120)

    @contextlib.contextmanager
    def run_it(self, *arguments):
        """A run with what it says in a file; whatever happens, it has ended afterwards."""
        command = [str(ROOT / "deploy/quickstart"), *arguments]
        with open(self.temp.name + "/said", "w", encoding="utf-8") as said, subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as child:
            try:
                yield child
            finally:
                child.terminate()
                child.wait(120)

    def said(self):
        return Path(self.temp.name, "said").read_text(encoding="utf-8")

    def ended(self, child, status, timeout_s):
        """It ends in time and so; whatever else it does, the failure tells all that it said."""
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.fail(f"it did not end within {timeout_s} s:\n{self.said()}")
        self.assertEqual(child.returncode, status, self.said())

    def test_once_compares_all_and_leaves_nothing_running(self):
        with self.run_it("--once", *LOAD) as child:
            self.ended(child, 0, QUICKSTART_S)
        said = self.said()
        self.assertEqual(said.splitlines()[-1], "every store equals the source", said)
        rows = re.findall(r"equal: \d+ comparisons, (\d+) rows", said)
        self.assertEqual(len(rows), 3, said)
        self.assertGreater(min(map(int, rows)), 60000, said)
        for table in ("debian.package", "debian.maintainer", "debian.note", "bench.sbtest1"):
            self.assertIn(table, said)
        self.assertEqual(running_in(self.folder), [], said)
        self.assertIn("pipeline: quickstart", (self.folder / "tailrace.yaml").read_text())
        self.assertIn("MARIADB_PORT", read_endpoints(self.folder / "endpoints.env"))
        done = self.clean()
        self.assertEqual((done.returncode, self.folder.exists()), (0, False),
                         said + done.stdout + done.stderr)

    def suggested(self):
        """The commands that it printed, by their first word."""
        lines = self.said().split("try, in another terminal:\n")[1].splitlines()
        commands = [line.strip() for line in lines if line.startswith("  ")]
        return {Path(shlex.split(command)[0]).name: command for command in commands}

    def try_suggested(self):
        tried = {}
        for name, command in self.suggested().items():
            done = subprocess.run(command, shell=True, text=True, capture_output=True,
                                  stdin=subprocess.DEVNULL, check=False, timeout=60)
            self.assertEqual(done.returncode, 0, command + done.stdout + done.stderr)
            tried[name] = done.stdout
        return tried

    def test_shows_progress_and_commands_that_work_until_ctrl_c(self):
        stores = ["sqlite", "redis", "elasticsearch"] if FULL else ["sqlite", "redis"]
        with self.run_it("--stores", ",".join(stores), "--sysbench-seconds", "1") as child:
            end = time.monotonic() + QUICKSTART_S
            while "Ctrl-C stops everything." not in self.said():
                self.assertIsNone(child.poll(), self.said())
                self.assertLess(time.monotonic(), end, self.said())
                time.sleep(0.2)
            tried = self.try_suggested()
            self.assertIsNone(child.poll(), self.said())
            child.send_signal(signal.SIGINT)
            self.ended(child, 0, 120)
        self.assertEqual(running_in(self.folder), [], self.said())
        for store in stores:
            self.assertRegex(self.said(), PROGRESS.format(store))
        # All is installed, fetched and built here, so this is the time of a second run.
        ready = re.search(r"all of it ready (\d+) s after the beginning", self.said())
        self.assertLess(int(ready[1]), 60, self.said())
        self.assertEqual(len(tried["sqlite3"].splitlines()), 5, tried)
        self.assertEqual(json.loads(tried["redis-cli"])["name"], "vim")
        self.assertIn("capture", tried["tailrace"])
        self.assertIn("mariadb", tried)
        if "elasticsearch" in stores:
            self.assertEqual(len(json.loads(tried["curl"])["hits"]["hits"]), 3, tried)

    def test_an_interrupt_leaves_nothing_running(self):
        def programs():
            lines = running_in(self.folder)
            return all(any(name in line for line in lines)
                       for name in ("tailrace-capture", "tailrace-sqlite"))
        with self.run_it("--once", *LOAD) as child:
            end = time.monotonic() + 240
            while not programs():
                self.assertIsNone(child.poll(), self.said())
                self.assertLess(time.monotonic(), end, self.said())
                time.sleep(0.1)
            child.send_signal(signal.SIGINT)
            self.ended(child, 130, 120)
        self.assertEqual(running_in(self.folder), [], self.said())
        done = self.clean()
        self.assertEqual(done.returncode, 0, self.said() + done.stdout + done.stderr)

    def test_missing_packages_without_root_are_one_line(self):
        """As nobody, on a machine whose dpkg has nothing installed."""
        tree = Path(self.temp.name, "tree")
        shutil.copytree(ROOT / "deploy", tree / "deploy")
        stub = Path(self.temp.name, "bin", "dpkg-query")
        stub.parent.mkdir()
        stub.write_text("#!/bin/sh\nexit 1\n")
        stub.chmod(0o755)
        writable = Path(self.temp.name, "writable")
        writable.mkdir()
        writable.chmod(0o777)
        subprocess.run(["chmod", "-R", "a+rX", tree, stub.parent], check=True)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*(nobody if os.geteuid() == 0 else []), str(tree / "deploy/quickstart"), "--once"],
            text=True, capture_output=True, check=False, timeout=60,
            env=dict(os.environ, PATH=f"{stub.parent}:{os.environ['PATH']}",
                     TAILRACE_QUICKSTART_DIR=str(writable / "q")))
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertRegex(done.stderr, "as root run: apt-get update && apt-get install .*mariadb")
        self.assertEqual(list(writable.iterdir()), [])


class QuickstartPartsTest(unittest.TestCase):
    """What a whole run on this machine does not come to."""

    def setUp(self):
        self.temp = tempfile.TemporaryDirectory(prefix="tailrace-quickstart-", dir="/var/tmp")
        self.addCleanup(self.temp.cleanup)
        Path(self.temp.name).chmod(0o711)
        self.folder = Path(self.temp.name, "q")
        self.said = io.StringIO()
        for patch in (mock.patch.dict(os.environ, TAILRACE_QUICKSTART_DIR=str(self.folder)),
                      mock.patch.object(quickstart, "Interrupts"),
                      contextlib.redirect_stdout(self.said), contextlib.redirect_stderr(self.said)):
            self.enterContext(patch)

    def show(self, status):
        """The show, with a comparer that ends so as the only act; its exit code."""
        one = quickstart.Quickstart(quickstart.parse_arguments(["--once"]), mock.Mock())
        one.screen.out = self.said
        answer = subprocess.CompletedProcess([], status, "what the comparer says\n", "")
        with mock.patch.object(quickstart.subprocess, "run", return_value=answer), \
                mock.patch.object(one, "act", lambda _names: one.compare("debian")):
            return one.show([])

    def test_a_difference_is_told_and_is_the_exit_code(self):
        self.assertEqual(self.show(7), 7)
        self.assertIn("what the comparer says", self.said.getvalue())
        self.assertEqual(self.said.getvalue().splitlines()[-1],
                         "a store DIFFERS from the source")
        self.assertEqual(self.show(0), 0)
        self.assertEqual(self.said.getvalue().splitlines()[-1], "every store equals the source")

    def test_a_comparer_that_fails_is_no_answer(self):
        with self.assertRaisesRegex(StackError, "the comparer ended with 1"):
            self.show(1)

    def test_too_little_memory_is_one_line_and_nothing_is_made(self):
        with mock.patch.object(stack_module, "memory_free_mb", lambda: 5000):
            self.assertEqual(quickstart.main(["--once"]), 1)
        self.assertRegex(self.said.getvalue(),
                         "^quickstart: 4.9 GB of memory are free.* need 6.0 GB.*\n$")
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
