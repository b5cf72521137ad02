#!/usr/bin/python3
"""Every row has one version, whatever was read before it; and no undone row is published.

A MariaDB of its own writes what binlogs are made of: transactions of every kind, savepoints that
are rolled back, temporary tables, DDL, ROTATE, a clean restart, compressed events, and a server
that dies in the middle of writing a large transaction. Then it is read from the start, from every
group boundary, and by a capture that is killed again and again. TAILRACE_TEST_SEED=<n> repeats a
run's choices.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pymysql

import tr
from stack import Stack

TORN_TRIES = 6
ROWS_OF_TORN = 300000
KEYS_OF_TORN = 10000000  # at most, of each try


class Versions(tr.Case):
    def setUp(self):
        super().setUp()
        self.own = tempfile.TemporaryDirectory(prefix="tailrace-versions-", dir="/var/tmp")
        Path(self.own.name).chmod(0o711)
        self.addCleanup(self.own.cleanup)
        self.server = Stack(self.own.name + "/s", say=lambda text: None)
        self.addCleanup(self.server.down)
        self.server.up(["mariadb"])
        self.places = self.server.endpoints()
        self.pipe = self.pipeline(stores=[])
        self.shop = f"{self.pipe.name}_shop"
        self.pipe.configure(
            source={"host": "127.0.0.1", "port": int(self.places["MARIADB_PORT"]),
                    "user": "tailrace", "password_file": self.places["MARIADB_PASSWORD_FILE"]},
            capture={"hold_bytes": "256KiB", "checkpoint_interval": "20ms"})
        seed = int(os.environ.get("TAILRACE_TEST_SEED") or random.randrange(1 << 32))
        print(f"seed {seed} (TAILRACE_TEST_SEED)", file=sys.stderr, flush=True)
        self.random = random.Random(seed)

    def sql(self, *statements):
        link = pymysql.connect(host="127.0.0.1", port=int(self.places["MARIADB_PORT"]),
                               user="root", autocommit=True)
        with link, link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    # --- what the binlog is made of

    def some_changes(self, first):
        """Transactions of every kind, on keys from `first` on; undone rows have v = -1."""
        a, m = f"{self.shop}.a", f"{self.shop}.m"
        self.sql(f"INSERT INTO {a} VALUES ({first}, 1, 'x')",
                 f"INSERT INTO {a} SELECT {first} + seq, seq, REPEAT('y', 300) "
                 f"FROM {self.shop}.seq_1_to_60",
                 f"UPDATE {a} SET v = v + 1, s = 'z' WHERE id BETWEEN {first} AND {first + 20}",
                 f"UPDATE {a} SET id = {first + 90} WHERE id = {first + 1}",
                 f"DELETE FROM {a} WHERE id = {first + 2}",
                 f"INSERT INTO {m} VALUES ({first}, 1)")
        self.sql("START TRANSACTION", f"INSERT INTO {a} VALUES ({first + 70}, 1, 'kept')",
                 "SAVEPOINT s", f"INSERT INTO {m} VALUES ({first + 1}, 1)",
                 f"INSERT INTO {a} VALUES ({first + 71}, -1, 'undone')", "ROLLBACK TO s",
                 f"INSERT INTO {a} VALUES ({first + 72}, 1, 'kept')", "COMMIT")
        self.sql("START TRANSACTION", f"INSERT INTO {a} VALUES ({first + 73}, -1, 'undone')",
                 f"CREATE TEMPORARY TABLE {self.shop}.t (id INT)",
                 f"INSERT INTO {self.shop}.t VALUES (1)",
                 f"INSERT INTO {a} VALUES ({first + 74}, -1, 'undone')", "ROLLBACK")
        self.sql("SET binlog_format = MIXED", f"CREATE TEMPORARY TABLE {self.shop}.u (id INT)")
        self.sql(f"CREATE TABLE {self.shop}.c{first} (id INT PRIMARY KEY) AS SELECT 5 AS id",
                 f"ALTER TABLE {self.shop}.c{first} ADD COLUMN w INT",
                 f"INSERT INTO {self.shop}.c{first} VALUES (6, 6)")

    def die_while_writing(self, first):
        """Kills the server while it copies a large transaction, of keys from `first` on and v = -1,
        to the binlog. Returns whether it is torn, which undoes it, and the file's name."""
        data = Path(self.own.name) / "s" / "mariadb" / "data"
        link = pymysql.connect(host="127.0.0.1", port=int(self.places["MARIADB_PORT"]),
                               user="root", autocommit=False)
        name = self.sql("SHOW MASTER STATUS")[0][0]
        file = data / name
        with contextlib.suppress(pymysql.MySQLError), link, link.cursor() as cursor:
            cursor.execute(f"INSERT INTO {self.shop}.a SELECT {first} + seq, -1, REPEAT('t', 150) "
                           f"FROM {self.shop}.seq_1_to_{ROWS_OF_TORN}")
            before = file.stat().st_size
            cursor._executed = None
            link._execute_command(3, "COMMIT")  # not waiting for the answer
            until = time.monotonic() + 20
            while file.stat().st_size < before + 2_000_000 and time.monotonic() < until:
                pass
            self.server.kill("mariadb")
        self.server.start("mariadb")
        torn = self.sql(f"SELECT COUNT(*) FROM {self.shop}.a WHERE v = -1")[0][0] == 0
        if not torn:
            self.sql(f"DELETE FROM {self.shop}.a WHERE v = -1")
        return torn, name

    def write_history(self):
        self.sql(f"CREATE DATABASE {self.shop}",
                 f"CREATE TABLE {self.shop}.a (id INT PRIMARY KEY, v INT, s VARCHAR(400))",
                 f"CREATE TABLE {self.shop}.m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM")
        self.some_changes(1000)
        self.sql("FLUSH BINARY LOGS")
        self.some_changes(2000)
        self.server.restart("mariadb")
        self.some_changes(3000)
        self.server.restart("mariadb", extra=["--log-bin-compress=1",
                                              "--log-bin-compress-min-len=10"])
        self.some_changes(4000)
        self.server.restart("mariadb")
        self.some_changes(5000)

    # --- reading

    def read_lines(self, start):
        done = self.pipe.capture.run("run", "--output", "stdout", "--stop-at-end", "--start", start,
                                     timeout_s=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def read(self, start):
        return [json.loads(line) for line in self.read_lines(start)]

    def boundaries(self):
        """file:offset of every GTID event, in order; of a torn file up to where it is torn."""
        found = []
        for row in self.sql("SHOW BINARY LOGS"):
            at = 4
            while True:
                try:
                    rows = self.sql(f"SHOW BINLOG EVENTS IN '{row[0]}' FROM {at} LIMIT 200")
                except pymysql.MySQLError:
                    break
                found += [f"{row[0]}:{one[1]}" for one in rows if one[2] == "Gtid"]
                if len(rows) < 200:
                    break
                at = rows[-1][4]
        return found

    def assert_sane(self, found, kept=()):
        """No undone row, versions that grow, one commit at the end of each transaction. Rows of the
        keys in `kept` (ranges) have v = -1 and were not undone."""
        undone = [one for one in found if one.get("data", {}).get("v") == -1
                  and not any(one["data"]["id"] in keys for keys in kept)]
        self.assertEqual(undone[:3], [], f"{len(undone)} undone rows")
        versions = [one["version"] for one in found]
        self.assertEqual(versions, sorted(versions))
        self.assertEqual(len(set(versions)), len(versions))
        for one, following in zip(found, found[1:]):
            if "data" in one:
                self.assertEqual(one.get("commit", False), one["xid"] != following["xid"])

    def identity(self, one, base=0):
        """All but schema_id, which counts from where reading began."""
        return json.dumps(dict(one, version=one["version"] - base, xid=one["xid"] - base,
                               schema_id=None))

    def assert_same_from_everywhere(self, whole, places):
        """From each boundary: the same rows, and versions that differ by one number only, which is
        the base that a checkpoint there would hold."""
        for start in places:
            again = self.read(start)
            self.assertGreater(len(again), 0, start)
            tail = whole[len(whole) - len(again):]
            base = tail[0]["version"] - again[0]["version"]
            self.assertGreaterEqual(base, 0)
            self.assertEqual([self.identity(one) for one in again],
                             [self.identity(one, base) for one in tail], start)

    def topic(self):
        """The texts of all events in the data topic."""
        done = subprocess.run(
            ["kcat", "-C", "-q", "-e", "-J", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t",
             f"db.{self.shop}", "-o", "beginning"], capture_output=True, text=True, timeout=120,
            check=True)
        texts = [json.loads(line)["payload"] for line in done.stdout.splitlines()]
        return {text for text in texts if text is not None}

    def assert_topic_holds(self, lines):
        """Rows: the same bytes. Markers: none but those of `lines`."""
        rows, markers = divide(lines)
        published_rows, published_markers = divide(self.topic())
        for what, some in (("missing", rows - published_rows), ("more", published_rows - rows),
                           ("more", published_markers - markers)):
            self.assertEqual(sorted(some)[:3], [], f"{len(some)} of {len(lines)} are {what}")

    def assert_kills_change_nothing(self, lines, kills):
        """Killed again and again on its way: the topic holds the same bytes."""
        codes = []
        while len(codes) < kills and 0 not in codes:
            point = self.random.choice(("before-produce", "after-ack"))
            self.pipe.capture.start("--stop-at-end", *([] if codes else ["--start", "earliest"]),
                                    env={"TAILRACE_KILL_AT": f"{point}:{1 + len(codes) % 4}"})
            codes.append(self.pipe.capture.wait_exit(60))
            self.assertIn(codes[-1], (0, -signal.SIGKILL), self.pipe.capture.tail())
        print(f"killed {codes.count(-signal.SIGKILL)} times", file=sys.stderr)
        self.assertIn(-signal.SIGKILL, codes)
        done = self.pipe.capture.run("run", "--stop-at-end", timeout_s=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_topic_holds(lines)

    def test_versions_from_every_boundary(self):
        self.write_history()
        lines = self.read_lines("earliest")
        whole = [json.loads(line) for line in lines]
        self.assert_sane(whole)
        self.assertGreater(len(whole), 400)
        places = [place for place in self.boundaries() if self.has_rows(place, whole)]
        print(f"{len(whole)} events, {len(places)} boundaries", file=sys.stderr)
        self.assert_same_from_everywhere(whole, places)
        self.assert_kills_change_nothing(lines, 8)

    def has_rows(self, place, whole):
        """Whether anything is published from there on."""
        name, _, offset = place.rpartition(":")
        positions = [one["position"].rpartition(":") for one in whole]
        return any((file, int(at)) >= (name, int(offset)) for file, _, at in positions)

    def test_server_that_dies_while_it_writes(self):
        self.sql(f"CREATE DATABASE {self.shop}",
                 f"CREATE TABLE {self.shop}.a (id INT PRIMARY KEY, v INT, s VARCHAR(400))",
                 f"CREATE TABLE {self.shop}.m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM")
        self.pipe.configure(capture={"hold_bytes": "1GiB"})
        self.pipe.capture.start("--start", "earliest")
        kept = []
        for n in range(TORN_TRIES):
            self.some_changes(1000 * (n + 1))
            first = KEYS_OF_TORN * (n + 1)
            torn, name = self.die_while_writing(first)
            if torn:
                break
            kept.append(range(first, first + KEYS_OF_TORN))
        self.assertTrue(torn, "the server never died while it wrote")
        with self.assertRaises(pymysql.MySQLError):
            # The case is real only when the file ends in the middle of an event.
            self.sql(f"SHOW BINLOG EVENTS IN '{name}' LIMIT 10000000")
        self.some_changes(100000)
        head = self.sql("SHOW MASTER STATUS")[0]
        self.pipe.capture.wait_status(
            lambda status: tr.parse_position(status["position"]) >= (head[0], head[1]),
            "the head", 60)
        self.pipe.capture.stop()
        self.assertIn("going on with the next", self.pipe.capture.log_text())
        lines = self.read_lines("earliest")
        self.assert_sane([json.loads(line) for line in lines], kept)
        self.assert_topic_holds(lines)


def divide(lines):
    """Events as texts: those of rows, and markers."""
    rows = {line for line in lines if '"data"' in line}
    return rows, set(lines) - rows


if __name__ == "__main__":
    tr.main()
