#!/usr/bin/python3
"""tailrace-capture where something is wrong around it: limits, rights, catalogue, servers away."""

import json
import signal
import socket
import subprocess
import threading
import time

import tr
import fetch  # of deploy/stack, where tr looks too
from test_capture import CONFIGURATION, KAFKA, SOURCE, STATE, events, topic

MIB = 1 << 20


def make_topic(name, partitions=2, **settings):
    """Creates a topic as an administrator would."""
    kafka = tr.stack().server("kafka")
    kafka.libs = fetch.fetch_kafka(lambda text: None)
    options = [word for key, value in settings.items()
               for word in ("--config", f"{key.replace('_', '.')}={value}")]
    subprocess.run(
        [str(part) for part in kafka.java(
            "-XX:TieredStopAtLevel=1", "org.apache.kafka.tools.TopicCommand",
            "--bootstrap-server", tr.places()["KAFKA_BOOTSTRAP"], "--create", "--topic", name,
            "--partitions", str(partitions), *options)],
        check=True, capture_output=True, timeout=60)


class Door:
    """A port that leads to another one while it is open. The first link on which `cut` is asked is
    cut off in the answer."""

    def __init__(self, host, port, cut=None):
        self.cut = cut
        self.target = (host, int(port))
        self.port = tr.free_port()
        self.links = []
        self.ear = None
        self.asked = None

    def open(self):
        self.ear = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.serve, args=(self.ear,), daemon=True).start()
        return self

    def serve(self, ear):
        while True:
            try:
                inner = ear.accept()[0]
            except OSError:
                return
            outer = socket.create_connection(self.target)
            self.links += [inner, outer]
            for one, other in ((inner, outer), (outer, inner)):
                threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one, other):
        try:
            while data := one.recv(65536):
                if one is self.asked:
                    other.sendall(data[:1000])
                    break
                if self.cut is not None and self.cut in data:
                    self.cut, self.asked = None, other
                other.sendall(data)
        except OSError:
            pass
        self.shut([one, other])

    def shut(self, sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def close(self):
        self.shut([self.ear, *self.links])
        self.links = []


class Faults(tr.Case):
    def test_a_control_topic_that_would_forget_is_refused(self):
        for partitions, policy, words in ((1, "delete", "cleanup.policy=delete"),
                                          (2, "compact", "2 partitions")):
            with self.subTest(policy=policy, partitions=partitions):
                pipe = self.pipeline(stores=[])
                name = f"tailrace.{pipe.name}.control"
                make_topic(name, partitions, cleanup_policy=policy)
                for command in (["check"], ["run", "--stop-at-end"]):
                    done = pipe.capture.run(*command)
                    self.assertEqual(done.returncode, KAFKA, done.stderr)
                    self.assertIn(f"topic {name} has {words}", done.stderr)

    def test_row_larger_than_the_queue(self):
        """The topic takes it, so it goes out; check says what else of the topic is not as set."""
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        make_topic(f"db.{shop}", max_message_bytes=32 * MIB, cleanup_policy="compact",
                   delete_retention_ms=1000)
        # A statement can't make a longer text than max_allowed_packet; a row may have several.
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v LONGTEXT, w LONGTEXT)",
               f"INSERT INTO {shop}.a VALUES (1, 'small', ''), "
               f"(2, REPEAT('x', 9 * {MIB}), REPEAT('x', 9 * {MIB}))",
               f"INSERT INTO {shop}.a VALUES (3, 'behind it', '')")
        pipe.configure(capture={"replication": 3})
        done = pipe.capture.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("2 partitions", "1 replicas", "min.compaction.lag.ms=0",
                      "delete.retention.ms=1000"):
            self.assertIn(words, done.stdout)
        pipe.configure(capture={"replication": -1})
        pipe.start_capture()
        pipe.wait_captured()
        self.assertEqual([(one["data"]["id"], len(one["data"]["v"] + one["data"]["w"]))
                          for one in events(f"db.{shop}")], [(1, 5), (2, 18 * MIB), (3, 9)])
        self.assertIn("larger queue", pipe.capture.log_text())
        pipe.capture.stop()
        pipe.configure(kafka={"queue.buffering.max.kbytes": 16384})
        tr.sql(f"UPDATE {shop}.a SET v = REPEAT('y', 10 * {MIB}) WHERE id = 2")
        done = pipe.capture.run("run", "--stop-at-end")
        self.assertEqual(done.returncode, KAFKA, done.stderr)
        for words in (f"{shop}.a", '"pk.id":2', tr.head()[0] + ":", "queue.buffering.max.kbytes"):
            self.assertIn(words, done.stderr)

    def test_catalogue_that_is_ahead(self):
        """A backlog in which tables get columns: JSON stays JSON, and no key changes."""
        pipe = self.pipeline(stores=["sqlite"])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.j (id INT PRIMARY KEY, doc JSON, gone JSON)",
               f"CREATE TABLE {shop}.s (id INT PRIMARY KEY, doc JSON) WITH SYSTEM VERSIONING",
               f"CREATE TABLE {shop}.k (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, "
               "UNIQUE v (b, c), UNIQUE u (a))",
               f"CREATE TABLE {shop}.days (d SET('mon','tue'), id INT, PRIMARY KEY (d, id))",
               f"INSERT INTO {shop}.j VALUES (1, '{{\"n\": 1}}', '[1]')",
               f"INSERT INTO {shop}.s VALUES (1, '{{\"n\": 1}}')",
               f"INSERT INTO {shop}.k VALUES (1, 2, 3)",
               f"INSERT INTO {shop}.days VALUES ('mon,tue', 1), ('mon', 2)",
               f"DELETE FROM {shop}.days WHERE id = 1",
               f"ALTER TABLE {shop}.j ADD COLUMN v INT",
               f"INSERT INTO {shop}.j VALUES (2, '{{\"n\": 2}}', '[2]', 1)",
               f"ALTER TABLE {shop}.j DROP COLUMN v")
        pipe.start_all()
        pipe.wait_captured()
        pipe.capture.stop()
        for name in ("d", "e"):
            tr.sql(f"ALTER TABLE {shop}.k ADD COLUMN {name} INT",
                   f"INSERT INTO {shop}.k (a, b, c) VALUES ({ord(name)}, 5, {ord(name)})")
        pipe.start_capture()
        pipe.wait_caught_up()
        self.assertFalse([one for one in pipe.capture.status()["tables"]
                          if "needs_snapshot" in one])
        found = events(f"db.{shop}")
        self.assertEqual([one["data"]["doc"] for one in found if one["table"] in ("j", "s")],
                         [{"n": 1}, {"n": 1}, {"n": 2}])
        keys = {tuple(sorted(name for name in one["key"] if name.startswith("pk.")))
                for one in topic(f"db.{shop}") if one["key"]["table"] == "k"}
        self.assertEqual(keys, {("pk.a",)})
        parts = pipe["sqlite"].status()["partitions"]
        self.assertEqual(sum(part["dead"] for part in parts), 0, parts)
        pipe.capture.stop()

    def test_missing_select(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        user = pipe.name
        tr.sql(f"CREATE USER {user}@'%' IDENTIFIED BY 'x'",
               f"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {user}@'%'",
               f"GRANT SELECT ON other.* TO {user}@'%'",
               f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, doc JSON)",
               f"INSERT INTO {shop}.a VALUES (1, '{{}}')")
        self.addCleanup(tr.sql, f"DROP USER {user}@'%'")
        pipe.configure(source={"user": user, "password": "x", "password_file": None})
        grant = f"GRANT SELECT ON `{shop}`.* TO '{user}'@'%'"

        def run(*words):
            began = f"{pipe.began[0]}:{pipe.began[1]}"
            return pipe.capture.run(*words, *(
                ("--output", "stdout", "--stop-at-end", "--start", began)
                if words[0] == "run" else ()))
        done = run("run")  # the rule names no database: found at the first row
        self.assertEqual((done.returncode, done.stdout), (SOURCE, ""), done.stderr)
        self.assertIn(grant, done.stderr)
        for rule in (f"{shop}.*", f"{shop}.a"):
            pipe.configure(capture={"tables": [rule]})
            for done in (run("run"), run("check")):
                self.assertEqual(done.returncode, SOURCE, done.stderr)
                self.assertIn(grant, done.stderr)
        tr.sql(f"CREATE TABLE {shop}.secret (id INT PRIMARY KEY)",
               f"GRANT SELECT ON `{shop}`.a TO {user}@'%'")
        for rules in ([f"{shop}.*", f"!{shop}.secret"], [f"{shop}.a*"]):
            pipe.configure(capture={"tables": rules})
            self.assertEqual(run("run").returncode, 0)
            done = run("check")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"may not SELECT from all of {shop}.*", done.stdout)
        tr.sql(f"GRANT INSERT ON `{shop}`.secret TO {user}@'%'")
        pipe.configure(capture={"tables": [f"{shop}.*"]})
        done = run("check")  # seen, captured, and not to be read
        self.assertEqual(done.returncode, SOURCE, done.stdout)
        self.assertIn(f"{shop}.secret", done.stderr)
        pattern = shop.replace("_", "\\_")[:-1] + "%"
        tr.sql(f"GRANT SELECT ON `{pattern}`.* TO {user}@'%'")
        done = run("run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["data"]["doc"], {})
        self.assertEqual(run("check").returncode, 0)
        pipe.configure(capture={"tables": [f"{shop}.a"]})
        link = tr.connect(database=shop)
        with link, link.cursor() as cursor:
            cursor.execute("LOCK TABLES a WRITE")  # as an import does
            began = time.monotonic()
            self.assertEqual(run("check").returncode, 0)
            self.assertLess(time.monotonic() - began, 15)

    def test_wrong_orders_leave_nothing_behind(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        file, offset = tr.head()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        rules = pipe.sections["capture"]["tables"]
        done = pipe.capture.run("status", "--json")
        self.assertEqual((done.returncode, json.loads(done.stdout)["position"]), (0, None))
        for start, code in (("nonsense", 1), (f"{file}:{offset + 7}", STATE),
                            ("bin.999999:4", STATE), (f"{file}:999999999", STATE)):
            done = pipe.capture.run("run", "--start", start)
            self.assertEqual(done.returncode, code, f"{start}: {done.stderr}")
        pipe.configure(capture={"tables": [{"table": rules[0], "exclude_columns": ["v"]}]})
        done = pipe.capture.run("run", "--start", f"{file}:{offset}")
        self.assertEqual(done.returncode, CONFIGURATION, done.stderr)
        pipe.configure(capture={"tables": rules, "http": None})
        done = pipe.capture.run("run", "--stop-at-end", "--start", f"{file}:{offset}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(events(f"db.{shop}")), 1)
        status = json.loads(pipe.capture.run("status", "--json").stdout)
        self.assertEqual(status["state"], "unknown")
        self.assertIn("capture.http.listen", status["trouble"])

    def test_kill_9_inside_a_group_that_goes_out_early(self):
        """What the checkpoint says is out of the open transaction isn't sent again, whatever is
        captured now."""
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        pipe.configure(capture={"hold_bytes": 4096, "queue_bytes": MIB,
                                "checkpoint_interval": "10ms", "tables": [f"{shop}.a"]})
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY, v VARCHAR(500))",
               f"CREATE TABLE {shop}.b (id INT PRIMARY KEY)", "BEGIN",
               f"INSERT INTO {shop}.b VALUES (1), (2), (3)",
               f"INSERT INTO {shop}.a SELECT seq, REPEAT('x', 500) FROM {shop}.seq_1_to_20000",
               f"INSERT INTO {shop}.b VALUES (4)", "COMMIT")

        def open_group():
            checkpoints = [one["value"] for one in topic(f"tailrace.{pipe.name}.control")
                           if one["key"] == ["checkpoint"]]
            return (checkpoints or [{}])[-1].get("open_group")
        pipe.start_capture(env={"TAILRACE_KILL_AT": "after-ack:8"})
        self.assertEqual(pipe.capture.wait_exit(), -signal.SIGKILL, pipe.capture.tail())
        out = open_group()
        self.assertIsNotNone(out, "a checkpoint inside the transaction")
        self.assertTrue(1 < out["ordinal"] < 20000, out)
        pipe.configure(capture={"queue_bytes": None, "tables": [f"{shop}.*"]})
        pipe.start_capture()
        pipe.wait_captured()
        pipe.capture.stop()
        rows = [one["value"] for one in topic(f"db.{shop}")]
        self.assertEqual([one["data"]["id"] for one in rows if one["table"] == "b"], [4])
        ids = [one["data"]["id"] for one in rows if one["table"] == "a"]
        self.assertEqual(set(ids), set(range(1, 20001)))
        self.assertEqual(len([one for one in ids if one <= out["ordinal"]]), out["ordinal"])
        self.assertIsNone(open_group())

    def test_source_goes_away_while_kafka_is_waited_for(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        source = Door(tr.places()["MARIADB_HOST"], tr.places()["MARIADB_PORT"]).open()
        kafka = Door(*tr.places()["KAFKA_BOOTSTRAP"].split(":"))
        self.addCleanup(source.close)
        self.addCleanup(kafka.close)
        pipe.configure(source={"host": "127.0.0.1", "port": source.port},
                       kafka={"bootstrap.servers": f"127.0.0.1:{kafka.port}"})
        pipe.start_capture()
        pipe.capture.wait_log("connection failed")
        source.close()
        kafka.open()
        pipe.capture.wait_log("trying again in 500 ms")
        status = pipe.capture.status()
        self.assertEqual(status["state"], "connecting", status)
        self.assertIn("trouble", status)
        source.open()
        pipe.wait_captured()
        pipe.capture.stop()
        self.assertEqual(len(events(f"db.{shop}")), 1)

    def test_source_goes_away_while_a_place_is_looked_for(self):
        """That it wasn't found so far says nothing."""
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", "FLUSH BINARY LOGS")
        file, offset = tr.head()
        link = tr.connect(database=shop)
        with link, link.cursor() as cursor:
            for i in range(600):  # more events than one read takes
                cursor.execute(f"INSERT INTO a VALUES ({i})")
        source = Door(tr.places()["MARIADB_HOST"], tr.places()["MARIADB_PORT"],
                      cut=b"SHOW BINLOG EVENTS").open()
        self.addCleanup(source.close)
        pipe.configure(source={"host": "127.0.0.1", "port": source.port})
        done = pipe.capture.run("run", "--start", f"{file}:{offset + 7}")
        self.assertEqual(done.returncode, STATE, done.stderr)
        self.assertIn("no event begins", done.stderr)
        self.assertIn("trying again", done.stderr)

    def test_final_error_while_kafka_is_away(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.start_capture()
        pipe.wait_captured()
        server = tr.stack().server("kafka").process
        server.signal(signal.SIGSTOP)
        self.addCleanup(server.signal, signal.SIGCONT)
        tr.sql(f"INSERT INTO {shop}.a VALUES (2)", "XA START 'x'",
               f"INSERT INTO {shop}.a VALUES (3)", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'")
        pipe.capture.wait_log("XA is not supported", timeout_s=5)
        status = pipe.capture.status()
        self.assertEqual(status["state"], "stopping")
        self.assertIn("XA is not supported", status["trouble"])
        began = time.monotonic()
        self.assertEqual(pipe.capture.wait_exit(20), SOURCE)
        self.assertGreater(time.monotonic() - began, 5)
        server.signal(signal.SIGCONT)


if __name__ == "__main__":
    tr.main()
