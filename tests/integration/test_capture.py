#!/usr/bin/python3
"""tailrace-capture on a real MariaDB and a real Kafka: what is published, and what stops it."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import jsonschema

import tr
from writer import Writer

CONFIGURATION, SOURCE, KAFKA, STATE = 2, 3, 4, 6
LZ4 = 3
BATCH_HEAD = 61


def topic(name, may_be_missing=False):
    """Every record of a topic: (partition, offset, key, value, headers), in order per partition."""
    done = subprocess.run(
        ["kcat", "-C", "-q", "-e", "-J", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t", name,
         "-o", "beginning"], capture_output=True, text=True, timeout=120, check=False)
    missing = "Unknown topic" in done.stderr
    if done.returncode != 0 and not (missing and may_be_missing):
        raise AssertionError(f"kcat of {name} ended with {done.returncode}: {done.stderr}")
    records = []
    for line in done.stdout.splitlines():
        one = json.loads(line)
        names = one.get("headers") or []
        records.append({
            "partition": one["partition"], "offset": one["offset"],
            "key": None if one["key"] is None else json.loads(one["key"]),
            "text": one["payload"],
            "value": None if one["payload"] is None else json.loads(one["payload"]),
            "headers": dict(zip(names[::2], names[1::2])),
        })
    return records


def events(name, table=None):
    """The events of a topic by version; each only once, tombstones left out."""
    found = {}
    for record in topic(name):
        value = record["value"]
        if value is not None and (table is None or value["table"] == table):
            found[(value["version"], value["type"])] = value
    return [found[key] for key in sorted(found)]


def batches(name):
    """The record batches of a topic as they are in the broker's files: (codec, producer's id).

    | i64 first offset | i32 length of the rest | i32 epoch | i8 magic, 2 | u32 CRC |
    | i16 attributes at 21, their lowest three bits the codec | i32 last offset | i64 first time |
    | i64 last time | i64 producer's id at 43, -1 without idempotence | …

    From the Kafka documentation, "Record Batch".
    """
    found = []
    for path in (tr.stack().folder / "kafka" / "data").glob(f"{name}-[0-9]*/*.log"):
        data = path.read_bytes()
        at = 0
        while at + BATCH_HEAD <= len(data):
            length, magic = struct.unpack_from(">8xi4xb", data, at)
            if length == 0:
                break
            assert magic == 2, f"{path}:{at} is no record batch"
            attributes, producer = struct.unpack_from(">21xh20xq", data, at)
            found.append((attributes & 7, producer))
            at += 12 + length
    return found


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


class Output(tr.Case):
    """--output stdout and file: no Kafka is asked for."""

    def make(self, **sections):
        pipe = self.pipeline(stores=[], **sections)
        pipe.configure(kafka={"bootstrap.servers": "127.0.0.1:1"})
        return pipe, pipe.database("shop")

    def capture(self, pipe, *arguments, start=None, code=0):
        begin = start or self.begin
        done = pipe.capture.run("run", "--output", "stdout", "--stop-at-end", "--start",
                                f"{begin[0]}:{begin[1]}", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.stderr = done.stderr
        return lines(done.stdout)

    def setUp(self):
        super().setUp()
        self.begin = tr.head()

    def test_rows_of_every_kind(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(10))",
               f"INSERT INTO {shop}.a VALUES (1, 'one'), (2, 'two')",
               f"UPDATE {shop}.a SET v = 'uno' WHERE id = 1",
               f"UPDATE {shop}.a SET id = 3 WHERE id = 2",
               f"DELETE FROM {shop}.a WHERE id = 3",
               f"TRUNCATE {shop}.a", f"DROP TABLE {shop}.a")
        found = self.capture(pipe)
        self.assertEqual([one["type"] for one in found],
                         ["insert", "insert", "update", "delete", "insert", "delete",
                          "table-truncate", "table-drop"])
        insert, second, update, old, new, gone, truncate, drop = found
        self.assertEqual(insert["data"], {"id": 1, "v": "one"})
        self.assertNotIn("commit", insert)
        self.assertTrue(second["commit"])
        self.assertEqual(insert["xid"], second["xid"])
        self.assertEqual((update["data"]["v"], update["old"]), ("uno", {"v": "one"}))
        self.assertEqual((old["data"]["id"], new["data"]["id"]), (2, 3))
        self.assertNotIn("commit", old)
        self.assertTrue(new["commit"])
        self.assertEqual(gone["data"]["id"], 3)
        self.assertNotIn("data", truncate)
        self.assertEqual(drop["table"], "a")
        versions = [one["version"] for one in found]
        self.assertEqual(versions, sorted(set(versions)))

    def test_update_instead_of_split(self):
        pipe, shop = self.make(capture={"primary_key_change": "update"})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v INT)",
               f"INSERT INTO {shop}.a VALUES (1, 1)", f"UPDATE {shop}.a SET id = 2")
        found = self.capture(pipe)
        self.assertEqual([one["type"] for one in found], ["insert", "update"])
        self.assertEqual((found[1]["data"], found[1]["old"]), ({"id": 2, "v": 1}, {"id": 1}))

    def test_undone_rows_are_not_published(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)",
               f"CREATE TABLE {shop}.m (id INT PRIMARY KEY) ENGINE=MyISAM",
               "START TRANSACTION", f"INSERT INTO {shop}.a VALUES (1)", "SAVEPOINT s1",
               f"INSERT INTO {shop}.a VALUES (2)", f"INSERT INTO {shop}.m VALUES (1)",
               "ROLLBACK TO s1", f"INSERT INTO {shop}.a VALUES (3)", "SAVEPOINT s1",
               f"INSERT INTO {shop}.a VALUES (4)", "ROLLBACK TO S1", "COMMIT",
               "START TRANSACTION", f"INSERT INTO {shop}.a VALUES (5)",
               f"CREATE TEMPORARY TABLE {shop}.t (id INT)", f"INSERT INTO {shop}.a VALUES (6)",
               "ROLLBACK", f"DROP TEMPORARY TABLE {shop}.t", f"INSERT INTO {shop}.a VALUES (7)")
        # The case is real only when the undone rows are in the log.
        logged = [row[5] for row in tr.sql(f"SHOW BINLOG EVENTS IN '{self.begin[0]}' "
                                           f"FROM {self.begin[1]}")]
        self.assertTrue(any(text.startswith("ROLLBACK TO") for text in logged))
        self.assertIn("ROLLBACK", logged)
        found = [one for one in self.capture(pipe) if one["table"] == "a"]
        self.assertEqual([one["data"]["id"] for one in found], [1, 3, 7])
        self.assertEqual([one.get("commit", False) for one in found], [False, True, True])

    def peak_kib(self, pipe, begin):
        """The most memory that capture had while it read from there to the present end."""
        pipe.capture.start("--output", "file:/dev/null", "--start", f"{begin[0]}:{begin[1]}")
        pipe.wait_captured()
        status = Path(f"/proc/{pipe.capture.child.pid}/status").read_text()
        pipe.capture.stop()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1])

    def test_large_group_passes_in_flat_memory(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(200))",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 150) FROM {shop}.seq_1_to_30000")
        small = self.peak_kib(pipe, self.begin)
        begin = tr.head()
        tr.sql(f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 150) "
               f"FROM {shop}.seq_30001_to_200000")
        large = self.peak_kib(pipe, begin)
        # That one which is held would be seen.
        pipe.configure(capture={"hold_bytes": "1GiB"})
        held = self.peak_kib(pipe, begin)
        print(f"peak: {small} KiB with 30,000 rows, {large} with 170,000, {held} when held",
              file=sys.stderr)
        self.assertLess(large - small, 24 * 1024)
        self.assertGreater(held - small, 24 * 1024)

    def test_large_group_is_whole(self):
        pipe, shop = self.make(capture={"hold_bytes": "64KiB", "batch_bytes": "16KiB"})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(200))",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 150) FROM {shop}.seq_1_to_20000")
        found = self.capture(pipe)
        self.assertEqual([one["data"]["id"] for one in found], list(range(1, 20001)))
        self.assertEqual([one["version"] for one in found if one.get("commit")],
                         [found[-1]["version"]])
        self.assertEqual(len({one["xid"] for one in found}), 1)

    def start_to_pipe(self, pipe):
        """The running capture; what it prints waits until it is read."""
        pipe.capture.child = subprocess.Popen(
            [pipe.capture.path(), "run", "--config", pipe.config, "--output", "stdout"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=pipe.folder)
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        return pipe.capture.child

    def test_lag_is_told_inside_a_large_group(self):
        """Nobody reads what comes out, so that capture stands in the middle of the group."""
        pipe, shop = self.make(capture={"hold_bytes": "64KiB", "batch_bytes": "16KiB"})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(200))")
        child = self.start_to_pipe(pipe)
        time.sleep(1.5)  # the head is looked at once a second
        tr.sql(f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 150) FROM {shop}.seq_1_to_20000")
        pipe.capture.wait_status(lambda status: status["lag"]["bytes"] > 20000 * 150, "its lag")
        found = [json.loads(child.stdout.readline()) for _ in range(20000)]
        self.assertEqual([one["data"]["id"] for one in found], list(range(1, 20001)))
        pipe.capture.wait_status(lambda status: status["lag"]["bytes"] == 0, "no lag")
        pipe.capture.stop()
        child.stdout.close()

    def test_lag_counts_from_the_file_that_is_acknowledged(self):
        """What is read is at the head already, in the next file; nobody takes it."""
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(200))")
        child = self.start_to_pipe(pipe)
        tr.sql(*[f"INSERT INTO {shop}.a VALUES ({n}, REPEAT('x', 150))" for n in range(400)])
        tr.sql("FLUSH BINARY LOGS", f"INSERT INTO {shop}.a VALUES (400, 'behind it')")
        end = tr.head()
        status = pipe.capture.wait_status(
            lambda status: tr.parse_position(status["head"]["position"]) >= end, "the head")
        self.assertNotEqual(tr.parse_position(status["position"])[0], end[0])
        self.assertGreater(status["lag"]["bytes"], 200 * 150)
        found = [json.loads(child.stdout.readline()) for _ in range(401)]
        self.assertEqual([one["data"]["id"] for one in found], list(range(401)))
        pipe.capture.wait_status(lambda status: status["lag"]["bytes"] == 0, "no lag")
        pipe.capture.stop()
        child.stdout.close()

    def allocations(self, pipe, library, begin):
        done = pipe.capture.run("run", "--output", "file:/dev/null", "--stop-at-end", "--start",
                                f"{begin[0]}:{begin[1]}", env={"LD_PRELOAD": str(library)})
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stderr.rpartition("allocations: ")[2])

    def test_rows_allocate_nothing(self):
        pipe, shop = self.make()
        library = pipe.folder / "count_allocations.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library,
                        tr.ROOT / "tests" / "integration" / "lib" / "count_allocations.c"],
                       check=True)
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(100), d DECIMAL(10,2))",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 50), seq / 7 "
               f"FROM {shop}.seq_1_to_2000")
        few = self.allocations(pipe, library, self.begin)
        tr.sql(f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 50), seq / 7 "
               f"FROM {shop}.seq_2001_to_42000",
               *[f"INSERT INTO {shop}.a VALUES ({n}, 'one by one', 1)"
                 for n in range(50000, 51000)])
        many = self.allocations(pipe, library, self.begin)
        print(f"allocations: {few} with 2,000 rows, {many} with 43,000", file=sys.stderr)
        # Buffers find their size; 41,000 rows and 1,000 transactions more add nothing of their own.
        self.assertLess(many - few, 400)

    def test_large_group_that_proves_void_stops(self):
        pipe, shop = self.make(capture={"hold_bytes": "64KiB"})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(200))", "START TRANSACTION",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 150) FROM {shop}.seq_1_to_5000",
               f"CREATE TEMPORARY TABLE {shop}.t (id INT)", "ROLLBACK",
               f"DROP TEMPORARY TABLE {shop}.t")
        self.capture(pipe, code=SOURCE)
        self.assertIn(f"{shop}.a", self.stderr)
        self.assertIn(self.begin[0], self.stderr)

    def test_versions_do_not_depend_on_where_reading_begins(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v INT)",
               *[f"INSERT INTO {shop}.a VALUES ({n}, {n})" for n in range(20)])
        text = tr.sql(f"SHOW BINLOG EVENTS IN '{self.begin[0]}' FROM {self.begin[1]}")
        whole = self.capture(pipe)
        for place in [row[1] for row in text if row[2] == "Gtid"][1::4]:
            again = self.capture(pipe, start=(self.begin[0], place))
            self.assertGreater(len(again), 0)
            expected = [(one["version"], one["xid"], one["data"]) for one in whole][-len(again):]
            self.assertEqual([(one["version"], one["xid"], one["data"]) for one in again], expected)

    def test_file_is_appended_to(self):
        pipe, shop = self.make()
        path = pipe.folder / "out.jsonl"
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        for _ in range(2):
            done = pipe.capture.run("run", "--output", f"file:{path}", "--stop-at-end", "--start",
                                    f"{self.begin[0]}:{self.begin[1]}")
            self.assertEqual(done.returncode, 0, done.stderr)
        first, second = path.read_text().splitlines()
        self.assertEqual(first, second)

    def test_full_disk_is_named(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        done = pipe.capture.run("run", "--output", "file:/dev/full", "--stop-at-end", "--start",
                                f"{self.begin[0]}:{self.begin[1]}")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("/dev/full", done.stderr)
        self.assertIn("No space left", done.stderr)

    def test_statement_instead_of_rows_stops(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", "SET SESSION binlog_format=STATEMENT",
               f"INSERT INTO {shop}.a VALUES (1)")
        self.capture(pipe, code=SOURCE)
        self.assertIn(f"{shop}.a", self.stderr)
        self.assertIn("binlog_format=ROW", self.stderr)
        self.assertIn(self.begin[0] + ":", self.stderr)

    def test_missing_columns_stop(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v INT, w INT)",
               f"INSERT INTO {shop}.a VALUES (1, 1, 1)", "SET SESSION binlog_row_image=MINIMAL",
               f"UPDATE {shop}.a SET v = 2")
        self.assertEqual(len(self.capture(pipe, code=SOURCE)), 1)
        self.assertIn("binlog_row_image=FULL", self.stderr)

    def test_xa_stops_by_name(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", "XA START 'x'",
               f"INSERT INTO {shop}.a VALUES (1)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
        self.capture(pipe, code=SOURCE)
        self.assertIn("XA", self.stderr)

    def test_table_without_a_key(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.n (v INT)", f"INSERT INTO {shop}.n VALUES (1)")
        self.capture(pipe, code=CONFIGURATION)
        self.assertIn(f"{shop}.n", self.stderr)
        pipe.configure(capture={"on_no_key": "skip"})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        self.assertEqual([one["table"] for one in self.capture(pipe)], ["a"])

    def test_start_inside_a_transaction_is_refused(self):
        pipe, shop = self.make()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        rows = tr.sql(f"SHOW BINLOG EVENTS IN '{self.begin[0]}' FROM {self.begin[1]}")
        places = {row[2]: row[1] for row in rows}
        self.capture(pipe, start=(self.begin[0], places["Table_map"]), code=SOURCE)
        self.assertIn("inside", self.stderr)


class Stream(tr.Case):
    """Into Kafka, with a checkpoint."""

    def running(self, start="latest", **capture):
        pipe = self.pipeline(stores=[])
        pipe.configure(capture=capture)
        shop = pipe.database("shop")
        pipe.start_capture(start)
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        return pipe, shop

    def control(self, pipe):
        return topic(f"tailrace.{pipe.name}.control")

    def checkpoint(self, pipe):
        found = [one for one in self.control(pipe) if one["key"] == ["checkpoint"]]
        return found[-1]["value"]

    def assert_topic_equals_table(self, shop, table="load", columns="id, n, s, d, t"):
        """What the topic leaves of each key is what the table holds."""
        state = {}
        for record in sorted((one for one in topic(f"db.{shop}")), key=lambda one: one["offset"]):
            if record["key"].get("table") != table or "pk.id" not in record["key"]:
                continue
            key = record["key"]["pk.id"]
            if record["value"] is None or record["value"]["type"] == "delete":
                state.pop(key, None)
            else:
                state[key] = record["value"]["data"]
        rows = tr.sql(f"SELECT {columns} FROM {shop}.`{table}`")
        self.assertEqual({row[0]: (row[1], row[2]) for row in rows},
                         {key: (data["n"], data["s"]) for key, data in state.items()})

    def test_rows_tombstones_and_markers(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v INT)",
               f"INSERT INTO {shop}.a VALUES (1, 1), (2, 2)",
               f"UPDATE {shop}.a SET id = 3 WHERE id = 1",
               f"DELETE FROM {shop}.a WHERE id = 2", f"TRUNCATE {shop}.a", f"DROP DATABASE {shop}")
        pipe.wait_captured()
        pipe.capture.stop()
        records = topic(f"db.{shop}")
        rows = [one for one in records if "pk.id" in one["key"]]
        by_key = {}
        for one in rows:
            by_key.setdefault(one["key"]["pk.id"], []).append(one)
            self.assertEqual(one["key"], {"database": shop, "table": "a",
                                          "pk.id": one["key"]["pk.id"]})
        kinds = {key: [one["value"] and one["value"]["type"] for one in found]
                 for key, found in by_key.items()}
        self.assertEqual(kinds, {1: ["insert", "delete", None], 2: ["insert", "delete", None],
                                 3: ["insert"]})
        for key in (1, 2):
            delete, tombstone = by_key[key][1:]
            self.assertEqual(tombstone["headers"],
                             {"tailrace-version": str(delete["value"]["version"])})
            self.assertEqual(tombstone["partition"], delete["partition"])
        markers = [one for one in records if "pk.id" not in one["key"]]
        self.assertEqual(sorted((one["partition"], one["value"]["type"]) for one in markers),
                         sorted((part, kind) for part in range(4)
                                for kind in ("table-truncate", "table-drop")))
        changes = topic(f"tailrace.{pipe.name}.schema-changes")
        self.assertEqual([one["value"]["query"].split()[0].upper() for one in changes],
                         ["CREATE", "TRUNCATE", "DROP"])
        self.assert_valid("event", [one["value"] for one in records if one["value"] is not None])
        self.assert_valid("key", [one["key"] for one in records])
        self.assert_valid("schema-change", [one["value"] for one in changes])
        for one in self.control(pipe):
            self.assert_valid(one["key"][0], [{"key": one["key"], "value": one["value"]}])

    def assert_valid(self, name, values):
        """What is in Kafka is what schemas/ says."""
        text = (tr.ROOT / "schemas" / f"{name}.schema.json").read_text()
        validator = jsonschema.Draft202012Validator(json.loads(text))
        for value in values:
            errors = [error.message for error in validator.iter_errors(value)]
            self.assertEqual(errors, [], value)

    def test_batches_are_compressed_and_idempotent(self):
        pipe, shop = self.running()
        # Long enough that lz4 makes even one row smaller: else it would be sent as it is.
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(1000))",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 900) FROM {shop}.seq_1_to_500")
        pipe.wait_captured()
        pipe.capture.stop()
        self.assertEqual(len(events(f"db.{shop}")), 500)
        found = batches(f"db.{shop}")
        self.assertEqual({codec for codec, _ in found}, {LZ4})
        producers = {producer for _, producer in found}
        self.assertEqual(len(producers), 1)
        self.assertGreaterEqual(min(producers), 0)

    def test_control_says_things_before_they_are_used(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)",
               f"ALTER TABLE {shop}.a ADD COLUMN w INT", f"INSERT INTO {shop}.a VALUES (2, 2)")
        end = tr.head()
        pipe.wait_captured()
        pipe.capture.stop()
        keys = [one["key"] for one in self.control(pipe)]
        shapes = [key for key in keys if key[0] == "shape"]
        self.assertEqual(keys[0], ["checkpoint"])
        self.assertLess(keys.index(["topic", f"db.{shop}"]), keys.index(shapes[0]))
        rows = events(f"db.{shop}")
        self.assertEqual([key[3] for key in shapes], [one["schema_id"] for one in rows])
        last = self.checkpoint(pipe)
        self.assertGreaterEqual((last["file"], last["offset"]), end)
        self.assertEqual(last["version"], last["base"] + last["offset"])

    def test_restart_goes_on_where_it_stopped(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)")
        for n in range(4):
            tr.sql(f"INSERT INTO {shop}.a VALUES ({n})", "FLUSH BINARY LOGS",
                   f"INSERT INTO {shop}.a VALUES ({n + 10})")
            pipe.wait_captured()
            pipe.capture.stop()
            pipe.start_capture()
        pipe.wait_captured()
        records = [one for one in topic(f"db.{shop}") if one["value"] is not None]
        self.assertEqual(sorted(one["value"]["data"]["id"] for one in records),
                         [0, 1, 2, 3, 10, 11, 12, 13])
        versions = [one["version"] for one in events(f"db.{shop}")]
        self.assertEqual(len(set(versions)), 8)

    def kill_and_compare(self, env):
        """Under load: dies at a point, starts again; nothing is lost, repeats are the same."""
        pipe, shop = self.running()
        with Writer(shop, rate=1000, keys=300) as writer:
            for n in range(3):
                pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
                time.sleep(0.7)
                pipe.capture.kill()
                if env is not None:
                    pipe.start_capture(env={"TAILRACE_KILL_AT": f"{env}:{3 + 4 * n}"})
                    self.assertEqual(pipe.capture.wait_exit(60), -signal.SIGKILL,
                                     pipe.capture.tail())
                pipe.start_capture()
        pipe.wait_captured()
        pipe.capture.stop()
        self.assertGreater(writer.changes, 500)
        self.assert_topic_equals_table(shop)
        texts = {}
        for one in topic(f"db.{shop}"):
            if one["value"] is not None and one["key"].get("pk.id") is not None:
                key = (one["partition"], one["value"]["version"], one["value"]["type"])
                self.assertEqual(texts.setdefault(key, one["text"]), one["text"])

    def test_kill_9_at_any_time(self):
        self.kill_and_compare(None)

    def test_kill_9_before_produce(self):
        self.kill_and_compare("before-produce")

    def test_kill_9_after_acknowledgement(self):
        self.kill_and_compare("after-ack")

    def test_too_large_row_stops(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v LONGTEXT)",
               f"INSERT INTO {shop}.a VALUES (1, 'small')")
        pipe.wait_captured()
        tr.sql(f"INSERT INTO {shop}.a VALUES (7, REPEAT('x', 2000000))",
               f"INSERT INTO {shop}.a VALUES (8, 'behind it')")
        self.assertEqual(pipe.capture.wait_exit(), KAFKA, pipe.capture.tail())
        for text in (f"{shop}.a", "pk.id", "7", tr.head()[0] + ":", "max.message.bytes"):
            self.assertIn(text, pipe.capture.tail(3))
        self.assertEqual([one["data"]["id"] for one in events(f"db.{shop}")], [1])

    def test_needs_snapshot_is_kept(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v INT)",
               f"INSERT INTO {shop}.a VALUES (1, 1)",
               f"ALTER TABLE {shop}.a MODIFY v BIGINT")
        pipe.wait_captured()

        def marked(status):
            return any(one["table"] == f"{shop}.a" and one.get("needs_snapshot")
                       for one in status["tables"])
        pipe.capture.wait_status(marked, "needs_snapshot")
        pipe.capture.stop()
        self.assertEqual([one["table"] for one in self.checkpoint(pipe)["needs_snapshot"]],
                         [f"{shop}.a"])
        done = pipe.capture.run("status", "--json")
        self.assertTrue(marked(json.loads(done.stdout)), done.stdout)

    def test_status_while_stopped(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        live = pipe.capture.status()
        self.assertEqual(live["state"], "running")
        self.assertEqual(live["tables"][0]["rows"], 1)
        pipe.capture.stop()
        done = pipe.capture.run("status", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        status = json.loads(done.stdout)
        self.assertEqual(set(live) - {"trouble"}, set(status) - {"trouble"})
        self.assertEqual(status["state"], "stopped")
        # Others may write to this server too: we are where the live one was, or behind it.
        self.assertGreaterEqual(tr.parse_position(status["position"]),
                                tr.parse_position(live["position"]))
        self.assertEqual(status["tables"], [{"table": f"{shop}.a", "rows": None}])
        self.assertIsNone(status["rows_per_s"])

    def test_start_options(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        pipe.capture.stop()
        before = self.checkpoint(pipe)["version"]
        done = pipe.capture.run("run", "--start", "latest", "--stop-at-end")
        self.assertEqual(done.returncode, STATE, done.stderr)
        self.assertIn("--force-start", done.stderr)
        done = pipe.capture.run("run", "--start", "latest", "--force-start", "--stop-at-end")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(self.checkpoint(pipe)["version"], before + 2**40)
        done = pipe.capture.run("run", "--start", "nonsense", "--force-start")
        self.assertEqual(done.returncode, 1, done.stderr)
        done = pipe.capture.run("run", "--force-start", "--stop-at-end")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("--force-start needs --start WHERE", done.stderr)

    def test_lost_control_topic_is_refused(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        pipe.capture.stop()
        other = self.pipeline(stores=[])
        other.configure(capture={"tables": [f"{shop}.*"]})
        done = other.capture.run("run", "--stop-at-end")
        self.assertEqual(done.returncode, STATE, done.stderr)
        self.assertIn("recover", done.stderr)
        self.assertIn(f"db.{shop}", done.stderr)

    def test_topic_of_a_lost_control_is_refused_when_its_database_comes_back(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)",
               f"DROP DATABASE {shop}")
        pipe.wait_captured()
        pipe.capture.stop()
        held = topic(f"db.{shop}")
        other = self.pipeline(stores=[])
        other.configure(capture={"tables": [f"{shop}.*"]})
        other.start_capture("latest")
        other.capture.wait_status(lambda status: status["state"] == "running", "running")
        tr.sql(f"CREATE DATABASE {shop}", f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)",
               f"INSERT INTO {shop}.a VALUES (1)")
        self.assertEqual(other.capture.wait_exit(), STATE, other.capture.tail())
        for words in ("recover", f"topic db.{shop} ", f"tailrace.{other.name}.control"):
            self.assertIn(words, other.capture.tail(1))
        self.assertEqual(topic(f"db.{shop}"), held)

    def test_newer_format_of_control_is_refused(self):
        pipe, _ = self.running()
        pipe.capture.stop()
        value = dict(self.checkpoint(pipe), format=2)
        subprocess.run(["kcat", "-P", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t",
                        f"tailrace.{pipe.name}.control", "-K", "\t"], check=True, timeout=30,
                       input=f'["checkpoint"]\t{json.dumps(value)}\n', text=True)
        done = pipe.capture.run("run", "--stop-at-end")
        self.assertEqual(done.returncode, STATE, done.stderr)

    def test_switched_source_is_refused(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        pipe.capture.stop()
        last = self.checkpoint(pipe)
        for change in ({"last_crc": last["server"]["last_crc"] ^ 1},
                       {"file_stamp": last["server"]["file_stamp"] - 1},
                       {"id": last["server"]["id"] + 1}):
            value = dict(last, server=dict(last["server"], **change))
            subprocess.run(["kcat", "-P", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t",
                            f"tailrace.{pipe.name}.control", "-K", "\t"], check=True, timeout=30,
                           input=f'["checkpoint"]\t{json.dumps(value)}\n', text=True)
            done = pipe.capture.run("run", "--stop-at-end")
            self.assertEqual(done.returncode, STATE, (change, done.stderr))
            self.assertIn("switched", done.stderr)
            self.assertIn("--start latest --force-start", done.stderr)

    def test_purged_position_is_refused(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        pipe.capture.stop()
        last = self.checkpoint(pipe)
        value = dict(last, file="bin.999999")
        subprocess.run(["kcat", "-P", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t",
                        f"tailrace.{pipe.name}.control", "-K", "\t"], check=True, timeout=30,
                       input=f'["checkpoint"]\t{json.dumps(value)}\n', text=True)
        done = pipe.capture.run("run", "--stop-at-end")
        self.assertEqual(done.returncode, STATE, done.stderr)
        self.assertIn("bin.999999", done.stderr)
        self.assertIn("--start latest --force-start", done.stderr)
        words = "binlog file bin.999999 of the checkpoint is no longer on "
        done = pipe.capture.run("check")
        self.assertEqual(done.returncode, STATE, done.stdout)
        for part in (words, "--start latest --force-start", "rebuild the stores"):
            self.assertIn(part, done.stderr)
        for listen in (pipe.sections["capture"]["http"], None):
            pipe.configure(capture={"http": listen})
            status = json.loads(pipe.capture.run("status", "--json").stdout)
            for part in (words, "--start latest --force-start", "rebuild the stores"):
                self.assertIn(part, status["trouble"])
            self.assertIsNone(status["lag"]["bytes"])

    def test_connection_that_is_killed_is_made_again(self):
        pipe, shop = self.running()
        with Writer(shop, rate=1000, keys=300):
            for _ in range(5):
                time.sleep(0.5)
                tr.kill_dumps()
        pipe.wait_captured()
        self.assertGreater(pipe.capture.log_text().count("connecting again"), 0)
        pipe.capture.stop()
        self.assert_topic_equals_table(shop)

    def test_check_names_what_it_finds(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.keyless (v INT)")
        done = pipe.capture.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{shop}.keyless", done.stdout)
        self.assertNotIn("binlog filters", done.stdout)
        self.assertEqual(topic(f"tailrace.{pipe.name}.control", may_be_missing=True), [])

    def test_other_delivery_is_refused(self):
        pipe = self.pipeline(stores=[])
        pipe.configure(capture={"delivery": "exactly-once"})
        done = pipe.capture.run("run")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("delivery must be at-least-once", done.stderr)


if __name__ == "__main__":
    os.chdir("/")
    tr.main()
