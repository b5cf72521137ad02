#!/usr/bin/python3
"""Versions belong to the bytes of the binlog, not to the reading of it.

One binlog is made with all that moves places or undoes rows: ROLLBACK TO and ROLLBACK, temporary
and non-transactional tables, annotate events on and off, compressed events, ROTATE, a clean
restart, a server killed in the middle of writing a large group, and files that end at every awkward
place. The test walks the files on disk by itself (lib/binlog_file.py) and computes what every
version must be. Then capture reads the log from its start, from places at which no group is open
(up to 9 of each file, by the seed; all of them with TAILRACE_TEST_FULL=1), and into Kafka with
kill -9 in between. Every row must have the computed number every time; no row that was undone may
come out; and what comes out, applied in order, must be the tables.

A fresh --start FILE:POS has base 0 at that file. So its versions differ from the reference's by
what lies before, which is computed from the files and must be the same for every row.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest
import uuid

import tr
from binlog_file import ROWS, ROWS_COMPRESSED, BinlogFile
from own_mariadb import OwnMariaDB, message

SEED = int(os.environ.get("TAILRACE_TEST_SEED", random.randrange(1 << 30)))
KILLS = 20 if tr.FULL else 5
BOUNDARIES = sys.maxsize if tr.FULL else 9  # of each file
BIG_ROWS = 30000
TORN_AFTER = 6 << 20
TORN_ATTEMPTS = 6
CHECKSUM = 4


# --- a history that has everything

def make_big_table(server):
    """What the group that a killed server cuts off will change. Made before the history begins."""
    server.sql("CREATE DATABASE v CHARACTER SET utf8mb4",
               "CREATE TABLE v.big (id INT PRIMARY KEY, t VARCHAR(1000))",
               f"INSERT INTO v.big SELECT seq, 'small' FROM v.seq_1_to_{BIG_ROWS}")


def ordinary(server):
    """Groups of one and of many rows, changed keys, a filtered table, DDL between them."""
    server.sql(
        "CREATE TABLE v.a (id INT PRIMARY KEY, t VARCHAR(2000))",
        "CREATE TABLE v.b (id INT PRIMARY KEY, n BIGINT, UNIQUE (n))",
        "CREATE TABLE v.my (id INT PRIMARY KEY, t VARCHAR(100)) ENGINE=MyISAM",
        "CREATE TABLE v.filtered (id INT PRIMARY KEY, t VARCHAR(2000))",
        "INSERT INTO v.a VALUES (1, 'one')",
        "INSERT INTO v.a VALUES (2, 'two'), (3, 'three'), (4, 'four')",
        "INSERT INTO v.filtered VALUES (1, 'x'), (2, 'y')",
        "UPDATE v.a SET t = 'zwei' WHERE id = 2",
        "UPDATE v.a SET id = 30, t = 'moved' WHERE id = 3",
        "DELETE FROM v.a WHERE id = 4",
        "INSERT INTO v.a SELECT seq + 1000, REPEAT('r', 300) FROM v.seq_1_to_200",
        "BEGIN", "INSERT INTO v.a VALUES (5, 'five')", "INSERT INTO v.filtered VALUES (3, 'z')",
        "INSERT INTO v.b VALUES (5, 55)", "UPDATE v.a SET t = 'fünf' WHERE id = 5", "COMMIT",
        "UPDATE v.a SET t = CONCAT(t, '!') WHERE id > 1000",
        "ALTER TABLE v.b ADD COLUMN extra INT DEFAULT 7",
        "INSERT INTO v.b (id, n) VALUES (6, 66)",
        "SET SESSION binlog_annotate_row_events = 0",
        "INSERT INTO v.a VALUES (7, 'without annotate')",
        "UPDATE v.b SET n = n + 1")


def undone(server):
    """Rows that the log itself takes back. All of them say so: none may come out."""
    server.sql(  # a savepoint, with a non-transactional table in the transaction
        "BEGIN", "INSERT INTO v.a VALUES (100, 'kept')", "INSERT INTO v.my VALUES (100, 'kept')",
        "SAVEPOINT s1", "INSERT INTO v.a VALUES (101, 'undone')",
        "UPDATE v.a SET t = 'undone' WHERE id = 1", "ROLLBACK TO s1",
        "INSERT INTO v.a VALUES (102, 'kept')", "COMMIT")
    server.sql(  # nested savepoints, one name used twice, an odd name
        "CREATE TEMPORARY TABLE v.tmp (id INT) ENGINE=MyISAM",
        "BEGIN", "INSERT INTO v.a VALUES (110, 'kept')", "SAVEPOINT `s ``1`",
        "INSERT INTO v.tmp VALUES (1)", "INSERT INTO v.a VALUES (111, 'kept')", "SAVEPOINT s2",
        "INSERT INTO v.a VALUES (112, 'undone')", "INSERT INTO v.b VALUES (112, 112, 0)",
        "ROLLBACK TO s2", "INSERT INTO v.a VALUES (113, 'kept')", "SAVEPOINT s2",
        "DELETE FROM v.a WHERE id = 1", "ROLLBACK TO SAVEPOINT s2",
        "INSERT INTO v.a VALUES (114, 'kept')", "SAVEPOINT s3",
        "INSERT INTO v.a VALUES (115, 'undone')", "ROLLBACK TO s2",
        "INSERT INTO v.a VALUES (116, 'kept')", "COMMIT")
    server.sql(  # a whole group that ends with ROLLBACK
        "BEGIN", "INSERT INTO v.a VALUES (120, 'undone')",
        "CREATE TEMPORARY TABLE v.tmp2 (id INT) ENGINE=MyISAM", "INSERT INTO v.tmp2 VALUES (1)",
        "INSERT INTO v.a SELECT seq + 3000, 'undone' FROM v.seq_1_to_300", "ROLLBACK")
    server.sql(  # only the non-transactional part of it stays
        "BEGIN", "INSERT INTO v.a VALUES (130, 'undone')", "INSERT INTO v.my VALUES (130, 'kept')",
        "ROLLBACK")
    server.sql(  # DROP TEMPORARY TABLE as a statement inside a group
        "SET SESSION binlog_format = MIXED",
        "CREATE TEMPORARY TABLE v.tmp3 (id INT) ENGINE=InnoDB",
        "SET SESSION binlog_format = ROW",
        "BEGIN", "INSERT INTO v.a VALUES (140, 'kept')", "SAVEPOINT s1",
        "INSERT INTO v.a VALUES (141, 'undone')", "DROP TEMPORARY TABLE v.tmp3",
        "ROLLBACK TO s1", "INSERT INTO v.a VALUES (142, 'kept')", "COMMIT")
    server.sql(  # what the server takes back before it writes
        "BEGIN", "INSERT INTO v.a VALUES (150, 'kept')", "SAVEPOINT s1",
        "INSERT INTO v.a VALUES (151, 'undone')", "ROLLBACK TO s1",
        "INSERT INTO v.a VALUES (152, 'kept')", "RELEASE SAVEPOINT s1", "COMMIT")


def undone_again(server):
    """The same keys a second time, in another file."""
    server.sql("DELETE FROM v.my", "DELETE FROM v.a WHERE id BETWEEN 100 AND 160")
    undone(server)


def compressed(server):
    """Rows and statements that are logged compressed, some of them taken back."""
    server.sql("SET GLOBAL log_bin_compress = 1", "SET GLOBAL log_bin_compress_min_len = 64")
    server.sql(
        "INSERT INTO v.a SELECT seq + 4000, REPEAT('c', 500) FROM v.seq_1_to_100",
        "UPDATE v.a SET t = CONCAT(t, REPEAT('d', 300)) WHERE id > 4000",
        "INSERT INTO v.filtered SELECT seq + 4000, REPEAT('f', 700) FROM v.seq_1_to_50",
        f"CREATE TABLE v.c (id INT PRIMARY KEY, t VARCHAR(500)) COMMENT = '{'k' * 200}'",
        "INSERT INTO v.c VALUES (1, REPEAT('e', 200)), (2, 'short')",
        "DELETE FROM v.a WHERE id BETWEEN 4010 AND 4050",
        "BEGIN", "INSERT INTO v.my VALUES (200, 'kept')", "INSERT INTO v.a VALUES (200, 'kept')",
        "SAVEPOINT s1",
        "INSERT INTO v.a SELECT seq + 5000, REPEAT('undone', 50) FROM v.seq_1_to_90",
        "ROLLBACK TO s1", "INSERT INTO v.a VALUES (201, REPEAT('kept', 99))", "COMMIT",
        "INSERT INTO v.c VALUES (3, 'after')")
    server.sql("SET GLOBAL log_bin_compress = 0")


def kill_while_committing(server, path, offset):
    """Commits a change of every row of v.big, and kills the server when some MB are in the file."""
    link = server.connect()
    cursor = link.cursor()
    cursor.execute("BEGIN")
    cursor.execute("UPDATE v.big SET t = REPEAT('undone', 160)")

    def commit():
        # The server dies under it.
        with contextlib.suppress(Exception):
            cursor.execute("COMMIT")
    pid = server.stack.server("mariadb").process.pid()
    committer = threading.Thread(target=commit)
    committer.start()
    while path.stat().st_size < offset + TORN_AFTER and committer.is_alive():
        pass
    os.kill(pid, signal.SIGKILL)
    committer.join()
    server.stack.kill("mariadb")


def torn_group(server):
    """kill -9 of the server while a large group goes to the file. Returns the file's name."""
    for _ in range(TORN_ATTEMPTS):
        server.sql("FLUSH BINARY LOGS", "INSERT INTO v.b (id, n) "
                   "SELECT COALESCE(MAX(id), 0) + 1000, COALESCE(MAX(n), 0) + 1000 FROM v.b")
        name, offset = server.head()
        kill_while_committing(server, server.data / name, offset)
        last = BinlogFile(server.data / name).groups()[-1]
        server.stack.start("mariadb")
        if not last.whole:
            return name
        server.sql("UPDATE v.big SET t = 'small'")
    raise AssertionError(f"{TORN_ATTEMPTS} times the server was not killed inside the group")


def cut_file(server, where):
    """kill -9, and the file cut at a place of its last group, as a lost tail of it would be."""
    server.sql("INSERT INTO v.b (id, n) SELECT MAX(id) + 1, MAX(n) + 1 FROM v.b", "BEGIN",
               "INSERT INTO v.a VALUES (900, 'undone')", "INSERT INTO v.a VALUES (901, 'undone')",
               "COMMIT")
    name, _ = server.head()
    server.stack.kill("mariadb")
    binlog = BinlogFile(server.data / name)
    last = binlog.groups()[-1]
    inside = [event for event in binlog.events if event.start >= last.start]
    os.truncate(binlog.path, {
        "in the GTID event": inside[0].start + 25,
        "in a header": inside[-1].start + 7,
        "between events": inside[-1].start,
        "before the group": inside[0].start,
    }[where])
    server.stack.start("mariadb")
    # InnoDB may have kept the transaction whose log is gone: the tables go back to the log's state.
    server.sql("SET SESSION sql_log_bin = 0", "DELETE FROM v.a WHERE id IN (900, 901)")
    server.sql(f"INSERT INTO v.c VALUES ({random.randrange(1000, 1 << 30)}, '{where}')")


# --- what was read

def position(event):
    file, offset = event["position"].split(":")
    return file, int(offset)


def without(line, shift):
    """What must be equal: all but schema_id, which counts from where reading began."""
    event = json.loads(line)
    event["version"] += shift
    event["xid"] += shift
    del event["schema_id"]
    return json.dumps(event)


def apply(lines):
    """The tables that the events make, when applied in order."""
    tables = {}
    for line in lines:
        event = json.loads(line)
        rows = tables.setdefault(event["table"], {})
        if event["type"] == "delete":
            del rows[event["data"]["id"]]
        else:
            rows[event["data"]["id"]] = event["data"]
    return tables


def leave_out(lines, table):
    """As if the table had not been captured: `commit` stands on the last row that is published."""
    kept = [row for row in map(json.loads, lines) if row["table"] != table]
    for i, row in enumerate(kept):
        last = i + 1 == len(kept) or kept[i + 1]["xid"] != row["xid"]
        if last and "commit" not in row:
            items = list(row.items())
            at = [key for key, _ in items].index("xid") + 1
            kept[i] = dict([*items[:at], ("commit", True), *items[at:]])
    return [json.dumps(row) for row in kept]


class Places(OwnMariaDB):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        print(f"TAILRACE_TEST_SEED={SEED}", file=sys.stderr)
        random.seed(SEED)
        tables = ["v.*", "!v.filtered"]
        cls.config = cls.write_config(capture={"tables": tables, "hold_bytes": "256MiB"})
        cls.held_little = cls.write_config("little", capture={"tables": tables})
        cls.all_tables = cls.write_config("all", capture={"tables": ["v.*"],
                                                          "hold_bytes": "256MiB"})
        make_big_table(cls)
        cls.sql("FLUSH BINARY LOGS")
        cls.first = cls.head()[0]
        cls.write_history()
        cls.files = [BinlogFile(cls.data / row[0]) for row in cls.sql("SHOW BINARY LOGS")
                     if row[0] >= cls.first]
        cls.reference = cls.read(f"{cls.first}:4")

    @classmethod
    def write_history(cls):
        ordinary(cls)
        undone(cls)
        cls.sql("FLUSH BINARY LOGS")
        undone_again(cls)
        compressed(cls)
        cls.stack.restart("mariadb")
        cls.sql("INSERT INTO v.a VALUES (300, 'after a clean restart')")
        cls.torn = torn_group(cls)
        cls.sql("INSERT INTO v.a VALUES (301, 'after a killed server')",
                "INSERT INTO v.b (id, n) VALUES (302, 302)")
        for where in ("in the GTID event", "in a header", "between events", "before the group"):
            cut_file(cls, where)
        cls.sql("INSERT INTO v.a VALUES (303, 'the end')")

    def base_at(self, name):
        """What the reference's versions count from in that file."""
        return sum(file.uncompressed_length() for file in self.files if file.name < name)

    def test_the_history_has_everything(self):
        torn = next(file for file in self.files if file.name == self.torn)
        self.assertFalse(torn.groups()[-1].whole)
        self.assertGreater(torn.size - torn.groups()[-1].start, TORN_AFTER)
        types = {event.type for file in self.files for event in file.events}
        self.assertLessEqual({2, 3, 4, 15, 16, 19, 23, 24, 25, 160, 161, 162, 163, 165, 166, 167,
                              168}, types)
        texts = [event.query_text() for file in self.files for event in file.events
                 if event.type == 2]
        self.assertIn(b"ROLLBACK", texts)
        self.assertIn(b"COMMIT", texts)
        self.assertTrue(any(text.startswith(b"ROLLBACK TO") for text in texts))
        self.assertGreater(len(self.reference), 700)

    def test_what_comes_out_is_the_tables(self):
        made = apply(self.reference)
        for table in ("a", "b", "c", "my"):
            link = self.connect()
            with link, link.cursor() as cursor:
                cursor.execute(f"SELECT * FROM v.{table}")
                names = [column[0] for column in cursor.description]
                there = {row[0]: dict(zip(names, row)) for row in cursor.fetchall()}
            self.assertEqual(made.get(table, {}), there, table)

    def test_no_undone_row_comes_out_and_versions_grow(self):
        versions = [json.loads(line)["version"] for line in self.reference]
        self.assertEqual(versions, sorted(set(versions)))
        for line in self.reference:
            self.assertNotIn("undone", line)

    def test_versions_are_those_of_the_bytes_on_disk(self):
        """The last row of a rows event ends where the event's body ends, before the checksum."""
        last = {}
        for line in self.read(f"{self.first}:4", config=self.all_tables):
            event = json.loads(line)
            last[position(event)] = event["version"]
        seen = 0
        for file in self.files:
            base = self.base_at(file.name)
            whole = [(group.start, group.end) for group in file.groups() if group.whole]
            for event in file.events:
                place = (file.name, event.start)
                # Rows that aren't there were undone: that none is missing, the tables tell.
                if event.type not in ROWS | ROWS_COMPRESSED or place not in last:
                    continue
                self.assertTrue(any(start < event.start < end for start, end in whole), place)
                inflated = file.inflation_before(event.start) + event.inflates_by()
                self.assertEqual(last[place], base + event.end - CHECKSUM + inflated, place)
                seen += 1
        self.assertEqual(seen, len(last))

    def test_filters_change_no_version(self):
        everything = self.read(f"{self.first}:4", config=self.all_tables)
        self.assertEqual([without(line, 0) for line in self.reference],
                         [without(line, 0) for line in leave_out(everything, "filtered")])

    def test_every_boundary_gives_the_same_versions(self):
        checked = 0
        for file in self.files:
            boundaries = file.boundaries()
            for offset in sorted(random.sample(boundaries, min(BOUNDARIES, len(boundaries)))):
                shift = self.base_at(file.name) + file.inflation_before(offset)
                want = [without(line, 0) for line in self.reference
                        if position(json.loads(line)) >= (file.name, offset)]
                got = [without(line, shift) for line in self.read(f"{file.name}:{offset}")]
                self.assertEqual(want, got, f"from {file.name}:{offset}, seed {SEED}")
                checked += 1
        self.assertGreater(checked, 40)

    def test_start_by_gtid_is_the_start_by_place(self):
        for file in self.files[:2]:
            for group in file.groups()[3::11]:
                gtid = self.sql(f"SELECT BINLOG_GTID_POS('{file.name}', {group.start})")[0][0]
                self.assertEqual(self.read(gtid), self.read(f"{file.name}:{group.start}"), gtid)

    def test_a_place_inside_an_event_is_refused(self):
        """Also one in a file that is not the last: going on with the next would pass rows over."""
        torn = next(file for file in self.files if file.name == self.torn)
        for file in (self.files[0], torn):
            for event in file.events[5:40:11]:
                # From some of these bytes on the server finds a length, and sends what it takes
                # for an event; from others it can't.
                for inside in (3, 11):
                    place = f"{file.name}:{event.start + inside}"
                    done = self.capture("--output", "stdout", "--stop-at-end", "--start", place)
                    self.assertEqual(done.returncode, 6, f"{place}: {done.stderr[-1000:]}")
                    self.assertEqual(done.stdout, "", place)
                    self.assertIn(f"no event begins at {place}", message(done))

    def test_a_large_group_that_proves_void_after_it_went_out_stops_by_name(self):
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", f"{self.torn}:4",
                            config=self.held_little)
        self.assertEqual(done.returncode, 3, done.stderr[-2000:])
        self.assertIn("v.big", message(done))
        self.assertIn(self.torn, message(done))


class KilledCapture(OwnMariaDB):
    """The same through Kafka: capture is killed again and again, and its checkpoint must give every
    row the number that it had before."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        random.seed(SEED)
        cls.topic = "v" + uuid.uuid4().hex[:8]
        cls.kafka = tr.places()["KAFKA_BOOTSTRAP"]
        cls.config = cls.write_config(
            pipeline=cls.topic, kafka={"bootstrap.servers": cls.kafka},
            capture={"tables": ["v.*", "!v.filtered"], "topic": cls.topic, "partitions": 1,
                     "hold_bytes": "256MiB", "checkpoint_interval": "50ms"})

    def start(self, *arguments):
        with open(self.folder / "capture.log", "ab") as log:
            child = subprocess.Popen(
                [tr.bin_folder() / "tailrace-capture", "run", "--config", self.config, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child):
        if child.poll() is None:
            child.kill()
            child.wait()

    def log(self):
        return (self.folder / "capture.log").read_text()[-3000:]

    def kafka_lines(self, topic, *arguments):
        done = subprocess.run(
            ["kcat", "-b", self.kafka, "-C", "-t", topic, "-p", "0", "-e", "-q", "-Z",
             *arguments], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.splitlines()

    def published(self):
        """Every record of the data topic that is no tombstone, in order."""
        return [line for line in self.kafka_lines(self.topic, "-o", "beginning", "-f", "%s\n")
                if line.startswith("{")]

    def checkpoint(self):
        """file:offset of the newest checkpoint."""
        newest = None
        for line in self.kafka_lines(f"tailrace.{self.topic}.control", "-o", "beginning", "-f",
                                     "%k %s\n"):
            if line.startswith('["checkpoint"] {'):
                value = json.loads(line[line.index("{"):])
                newest = (value["file"], value["offset"])
        return newest

    def wait_checkpoint(self, child):
        """Until the checkpoint is where the log ends."""
        end = self.head()

        def there():
            self.assertIsNone(child.poll(), self.log())
            return self.checkpoint() == end
        self.wait_for(there, f"the checkpoint at {end}", 60)

    def killed_while(self, child, change, rounds):
        """Makes changes while capture is killed at random moments and started again."""
        for _ in range(rounds):
            worker = threading.Thread(target=change)
            worker.start()
            time.sleep(random.uniform(0.02, 0.8))
            self.assertIsNone(child.poll(), self.log())
            child.kill()
            child.wait()
            worker.join()
            child = self.start()
        return child

    def small_changes(self):
        link = self.connect()
        with link, link.cursor() as cursor:
            for _ in range(80):
                n = random.randrange(10000, 1 << 20)
                cursor.execute(f"INSERT IGNORE INTO v.a VALUES ({n}, REPEAT('x', {n % 900}))")
                cursor.execute(f"UPDATE v.a SET t = CONCAT(t, 'y') WHERE id > 10000 AND id <= {n} "
                               "ORDER BY id DESC LIMIT 5")
                cursor.execute(f"DELETE FROM v.a WHERE id > {n} ORDER BY id LIMIT 1")

    def test_a_killed_capture_numbers_rows_as_before(self):
        make_big_table(self)
        self.sql("FLUSH BINARY LOGS")
        first = self.head()[0]
        child = self.start("--start", f"{first}:4")
        # One that dies before its first checkpoint was never started: the next begins at the end.
        self.wait_for(lambda: '"event":"reading"' in self.log(), "the first checkpoint")
        ordinary(self)
        undone(self)
        child = self.killed_while(child, self.small_changes, KILLS)
        self.sql("FLUSH BINARY LOGS")
        compressed(self)
        # The checkpoint stands right behind a compressed statement when capture dies.
        self.sql("SET GLOBAL log_bin_compress = 1")
        self.sql(f"CREATE TABLE v.d (id INT PRIMARY KEY, t TEXT) COMMENT = '{'k' * 300}'")
        self.wait_checkpoint(child)
        child.kill()
        child.wait()
        self.sql("INSERT INTO v.d SELECT seq, REPEAT('z', 400) FROM v.seq_1_to_50",
                 "SET GLOBAL log_bin_compress = 0")
        child = self.start()
        self.stack.restart("mariadb")
        child = self.killed_while(child, self.small_changes, 2)
        torn_group(self)
        child = self.killed_while(child, self.small_changes, 2)
        self.wait_checkpoint(child)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(30), 0, self.log())
        self.compare(first)

    def compare(self, first):
        reference = {}
        for line in self.read(f"{first}:4"):
            event = json.loads(line)
            reference[(event["position"], event["version"])] = without(line, 0)
        seen = {}
        for line in self.published():
            event = json.loads(line)
            place = (event["position"], event["version"])
            self.assertNotIn("undone", line)
            self.assertIn(place, reference, f"seed {SEED}")
            self.assertEqual(without(line, 0), reference[place], f"seed {SEED}")
            self.assertEqual(seen.setdefault(place, line), line, "repeated, the same bytes")
        self.assertEqual(set(seen), set(reference), f"seed {SEED}")
        versions = [version for _, version in seen]
        self.assertEqual(versions, sorted(versions), "first seen in commit order")


if __name__ == "__main__":
    unittest.main(verbosity=2)
