"""The consumers' runtime on a real broker: topics made by hand, a store that fails on demand.

What is shown: a store that is down is waited for, visibly; refused records become dead letters; a
stop and a rebalance lose nothing; kills at named points lose nothing; a lost, foreign or older
store is noticed or catches up; `reset` shows a plan and does nothing without --execute.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
import unittest
import uuid
from pathlib import Path

import tr

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake"))

import hand  # noqa: E402

DRAIN_S = 10  # so long may a stop wait for batches at the store


class Store:
    """The fake store's folder, as a user of it would see it."""

    def __init__(self, path):
        self.path = Path(path)

    def lines(self):
        try:
            text = (self.path / "rows").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def rows(self):
        """id → text of what is not removed: of each key the highest version, the last of equals."""
        best = {}
        for line in self.lines():
            if "marker" in line:
                for number, old in list(best.items()):
                    if old["version"] < line["version"]:
                        del best[number]
                continue
            number = line["key"]["pk.id"]
            if number not in best or best[number]["version"] <= line["version"]:
                best[number] = line
        return {number: line["row"]["v"] for number, line in best.items() if not line["removed"]}

    def progress(self, topic):
        """partition → next."""
        found = {}
        for path in self.path.glob(f"progress.{topic}.*"):
            if path.suffix != ".tmp":
                found[int(path.suffix[1:])] = int(path.read_text().split()[3])
        return found


class RuntimeCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-runtime-", dir="/var/tmp"))
        self.kafka = {"bootstrap.servers": tr.places()["KAFKA_BOOTSTRAP"]}
        self.hand = hand.Hand(tr.places()["KAFKA_BOOTSTRAP"])
        self.database = "d" + self.hand.pipeline
        self.topic = f"db.{self.database}"
        self.store = Store(self.folder / "store")
        self.programs = []
        self.addCleanup(self.end)

    def tearDown(self):
        """What a test did not end itself must still run."""
        for program in self.programs:
            if program.expected() and self._outcome.success:
                program.check_running()

    def end(self):
        for program in self.programs:
            if program.running():
                program.kill()
        self.hand.close()
        outcome = self._outcome
        result = getattr(outcome, "result", None)
        failed = not outcome.success or any(
            test is self for test, _ in [*getattr(result, "errors", []),
                                         *getattr(result, "failures", [])])
        if failed:
            print(f"logs: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def program(self, label="fake", **settings):
        """A process of the consumer with a configuration of its own."""
        port = tr.free_port()
        section = {"path": str(self.store.path), "http": {"listen": f"127.0.0.1:{port}"}}
        section.update(settings)
        config = self.folder / f"{label}.yaml"
        config.write_text(json.dumps({
            "pipeline": self.hand.pipeline, "kafka": self.kafka, "fake": section}))
        program = tr.Program("fake", self.folder, config, port, label)
        self.programs.append(program)
        return program

    def begin(self):
        self.hand.start(self.database)

    def write(self, numbers, text="one", **more):
        for number in numbers:
            self.hand.row(self.database, "t", number, f"{text} {number}", **more)
        self.hand.flush()

    def caught_up(self, program, timeout_s=60):
        ends = self.ends()

        def done(status):
            parts = {part["partition"]: part for part in status["partitions"]}
            return len(parts) == len(ends) and all(
                parts[number]["next"] >= end for number, end in ends.items())
        status = program.wait_status(done, "all is applied", timeout_s)
        tr.assert_account(status)
        return status

    def ends(self):
        """partition → end, counted from what was read back."""
        found = dict.fromkeys(range(self.hand.partitions), 0)
        for record in self.hand.kafka.read(self.topic):
            found[record["partition"]] = record["offset"] + 1
        return found

    def wait_shared(self, *programs):
        """Until each has as many partitions as the other."""
        for program in programs:
            program.wait_status(
                lambda one: len(one["partitions"]) == self.hand.partitions // len(programs),
                "its part of the partitions")

    def total(self, status, name):
        return sum(part[name] for part in status["partitions"])

    def stop(self, program):
        program.stop()
        account = [json.loads(line) for line in program.log_text().splitlines()
                   if '"event":"account"' in line][-1]
        self.assertEqual(account["read"], sum(account[name] for name in tr.OUTCOMES), account)
        self.assertEqual(account["in_flight"], 0)
        return account

    def expect_exit(self, program, code, *texts, timeout_s=40):
        self.assertEqual(program.wait_exit(timeout_s), code, program.tail())
        for text in texts:
            self.assertIn(text, program.log_text())

    def key_of(self, number):
        return self.hand.key(self.database, "t", number)


class Flow(RuntimeCase):
    def test_waits_for_control_then_applies(self):
        program = self.program().start()
        status = program.wait_status(lambda one: self.hand.control in one.get("trouble", ""),
                                     "waiting for control")
        self.assertEqual(status["state"], "waiting")
        self.assertIsNone(status["lag"]["records"])
        self.assertIn('tailrace_consumer_state{state="waiting"} 1', self.get(program, "/metrics"))
        done = program.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout,
                         rf"\nwarning: topic {self.hand.control} holds no checkpoint: ")
        self.assertTrue(done.stdout.endswith("\nok: ready to run, 1 warnings\n"), done.stdout)
        self.begin()
        self.write(range(100))
        status = self.caught_up(program)
        self.assertEqual(status["state"], "running")
        self.assertEqual(self.total(status, "applied"), 100)
        self.assertEqual(len(self.store.rows()), 100)
        account = self.stop(program)
        self.assertEqual(account["applied"], 100)
        self.assertEqual(self.store.progress(self.topic), self.ends())

    def test_deletes_tombstones_and_markers(self):
        self.begin()
        self.write(range(20))
        version = self.hand.row(self.database, "t", 1, "gone", kind="delete")
        self.hand.tombstone(self.database, "t", 1, version)
        self.hand.tombstone(self.database, "t", 2, self.hand.next_version())
        self.hand.tombstone(self.database, "t", 3)
        self.hand.flush()
        program = self.program().start()
        status = self.caught_up(program)
        self.assertEqual(sorted(self.store.rows()), [0, 3, *range(4, 20)])
        self.assertEqual(self.total(status, "filtered"), 1)
        floor = self.hand.marker(self.database, "t", "table-truncate")
        self.hand.row(self.database, "t", 50, "old news", version=floor - 5)
        self.hand.row(self.database, "t", 51, "new")
        self.hand.flush()
        status = self.caught_up(program)
        self.assertEqual(self.store.rows(), {51: "new"})
        self.assertEqual(self.total(status, "stale"), 1)
        self.stop(program)
        # The floor is the store's: it holds after a restart too.
        self.hand.row(self.database, "t", 52, "old news", version=floor - 4)
        self.hand.flush()
        program.start()
        self.caught_up(program)
        self.assertEqual(self.store.rows(), {51: "new"})

    def test_metrics_health_and_commands(self):
        self.begin()
        self.write(range(40))
        program = self.program().start()
        self.caught_up(program)
        metrics = tr.wait_until(lambda: self.metrics_after(program, 40), "40 rows in the metrics")
        self.assertIn('tailrace_consumer_state{state="running"} 1', metrics)
        self.assertRegex(metrics, r"tailrace_consumer_lag_seconds{[^}]*} 0\n")
        self.assertRegex(program.log_text(), rf'"event":"listening".*"port":{program.port}\D')
        self.assertEqual(self.get(program, "/healthz"), "ok\n")
        self.assertEqual(self.get(program, "/readyz"), "ok\n")
        live = json.loads(program.run("status", "--json").stdout)
        self.assertEqual(self.total(live, "applied"), 40)
        self.unknown(self.program("unasked", http={}), "fake.http.listen is not set")
        self.unknown(self.program("elsewhere"), "nobody answers at 127.0.0.1:")
        self.stop(program)
        done = program.run("status", "--json")
        stopped = json.loads(done.stdout)
        self.assertEqual((done.returncode, stopped["state"]), (0, "stopped"))
        self.assertEqual(stopped["lag"]["records"], 0)
        self.assertIsNone(stopped["partitions"][0]["read"])
        done = program.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split()[:2] for line in done.stdout.splitlines()],
                         [["ok:", "configuration:"], ["ok:", "kafka:"], ["ok:", "fake:"],
                          ["ok:", "store:"], ["ok:", "ready"]])
        self.assertIn("ok: store: ours\n", done.stdout)

    def unknown(self, program, why):
        """What is said of a group with members by a configuration by which none can be asked."""
        status = json.loads(program.run("status", "--json").stdout)
        self.assertEqual((status["state"], status["lag"]["records"]), ("unknown", 0), status)
        self.assertIn(why, status["trouble"])
        self.assertIn("the group has live members", status["trouble"])

    def metrics_after(self, program, applied):
        """/metrics once it tells of so many applied rows; it is renewed by the second."""
        metrics = self.get(program, "/metrics")
        found = sum(int(line.split()[-1]) for line in metrics.splitlines()
                    if line.startswith("tailrace_consumer_records_total{")
                    and 'result="applied"' in line)
        self.assertLessEqual(found, applied)
        return metrics if found == applied else None

    def get(self, program, path):
        import urllib.request
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{program.port}{path}", timeout=5) as answer:
            return answer.read().decode()


class Trouble(RuntimeCase):
    def test_a_store_that_is_down_is_waited_for(self):
        """Twenty times more than the bound is written while the store is down."""
        seconds = 60 if tr.FULL else 15
        bound, turns, rows = 8 << 20, 40, 500
        text = os.urandom(4096).hex()
        down = self.folder / "down"
        self.begin()
        self.write(range(100))
        program = self.program(down_file=str(down), queue_bytes_max=bound).start()
        self.caught_up(program)
        before = self.rss(program)
        down.touch()
        for turn in range(turns):
            self.write(range(rows), text=f"turn {turn} {text}")
        status = program.wait_status(
            lambda one: one["state"] == "retrying" and one["lag"]["records"] == turns * rows,
            "retrying, and a lag that tells of all of them")
        self.assertIn("the store is down", status["trouble"])
        self.assertRegex(program.run("status").stdout,
                         r"\ntrouble: .*the store is down.*, for \d+ s\n")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertLess(self.rss(program), before + 3 * bound / 1024)
            time.sleep(0.5)
        print(f"{before} kB before, {self.rss(program)} kB after", file=sys.stderr, flush=True)
        status = program.wait_status()
        self.assertEqual((status["state"], len(status["partitions"])),
                         ("retrying", self.hand.partitions))
        self.assertNotIn("revoked", program.log_text())
        self.assertIn("retries in", program.log_text())
        down.unlink()
        status = self.caught_up(program, 90)
        self.assertEqual(status["state"], "running")
        self.assertEqual(self.store.rows()[7], f"turn {turns - 1} {text} 7")
        self.stop(program)

    def rss(self, program):
        text = Path(f"/proc/{program.child.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def test_stopped_while_the_store_is_down(self):
        down = self.folder / "down"
        self.begin()
        program = self.program(down_file=str(down)).start()
        self.caught_up(program)
        down.touch()
        self.write(range(50))
        program.wait_status(lambda one: one["state"] == "retrying")
        began = time.monotonic()
        account = self.stop(program)
        self.assertLess(time.monotonic() - began, DRAIN_S + 8)
        self.assertEqual((account["applied"], account["released"]), (0, account["read"]))
        down.unlink()
        program.start()
        self.caught_up(program)
        self.assertEqual(len(self.store.rows()), 50)

    def test_stopped_while_a_call_to_the_store_does_not_return(self):
        self.begin()
        program = self.program(slow_ms=20000).start()
        self.caught_up(program)
        self.write(range(40))
        program.wait_status(lambda one: self.total(one, "in_flight") == 40, "in flight")
        began = time.monotonic()
        account = self.stop(program)
        self.assertLess(time.monotonic() - began, DRAIN_S + 8)
        self.assertEqual((account["applied"], account["released"]), (0, 40))
        self.assertIn("does not return", program.log_text())
        again = self.program("again").start()
        self.caught_up(again)
        self.assertEqual(len(self.store.rows()), 40)

    def test_a_store_that_fails_now_and_then(self):
        self.begin()
        program = self.program(fail_times=3, retry_times=20).start()
        self.write(range(500))
        self.caught_up(program)
        self.assertEqual(len(self.store.rows()), 500)
        self.assertEqual(self.stop(program)["applied"], 500)

    def test_refused_records_become_dead_letters(self):
        self.begin()
        self.write(range(1000))
        bad = self.hand.row(self.database, "t", 5, "poison 5", kind="update")
        self.hand.kafka.send(self.topic, 2, self.key_of(6), "hello", [("mine", "kept")])
        self.hand.flush()
        program = self.program(poison="poison").start()
        status = self.caught_up(program)
        self.assertEqual(self.total(status, "dead"), 2)
        self.assertEqual(len(self.store.rows()), 1000)
        self.assertEqual(self.store.rows()[5], "one 5")
        letters = self.hand.kafka.read(f"tailrace.{self.hand.pipeline}.dead.fake")
        found = {dict(zip(one["headers"][::2], one["headers"][1::2]))["tailrace-class"]: one
                 for one in letters}
        self.assertEqual(set(found), {"store", "event"})
        store = dict(zip(found["store"]["headers"][::2], found["store"]["headers"][1::2]))
        self.assertEqual(found["store"]["key"], self.key_of(5))
        self.assertEqual(json.loads(found["store"]["payload"])["data"]["v"], "poison 5")
        self.assertEqual(store["tailrace-topic"], self.topic)
        self.assertEqual(store["tailrace-partition"], str(5 % self.hand.partitions))
        self.assertEqual(store["tailrace-version"], str(bad))
        self.assertEqual(store["tailrace-consumer"], "fake")
        self.assertIn("poison", store["tailrace-reason"])
        self.assertRegex(store["tailrace-offset"], "^[0-9]+$")
        self.assertRegex(store["tailrace-time"], "^20.*Z$")
        event = dict(zip(found["event"]["headers"][::2], found["event"]["headers"][1::2]))
        self.assertEqual((found["event"]["payload"], event["mine"]), ("hello", "kept"))
        self.stop(program)

    def test_versions_that_are_not_the_stores(self):
        self.begin()
        self.write(range(2000), version=10**9)
        program = self.program().start()
        self.caught_up(program)
        time.sleep(1)
        self.write(range(2000), version=10**6)
        status = program.wait_status(lambda one: one["state"] == "failed", "failed")
        self.assertIn("stale", status["trouble"])
        program.wait_log("reset --to beginning --drop")


class Shapes(RuntimeCase):
    def test_an_unknown_shape_is_waited_for(self):
        self.begin()
        program = self.program().start()
        self.write(range(8))
        self.caught_up(program)
        self.write([1], text="later", schema_id=200)
        self.write([1], text="after", schema_id=100)
        self.write([2], text="else", schema_id=100)
        status = program.wait_status(lambda one: "schema_id 200" in one.get("trouble", ""))
        self.assertEqual(status["state"], "waiting")
        tr.wait_until(lambda: self.store.rows()[2] == "else 2", "other partitions go on")
        self.assertEqual(self.store.rows()[1], "one 1")
        self.hand.shape(self.database, "t", 200, self.topic)
        status = self.caught_up(program)
        self.assertEqual(status["state"], "running")
        self.assertEqual(self.store.rows()[1], "after 1")

    def test_a_shape_that_never_comes(self):
        self.begin()
        self.write([1], schema_id=300)
        program = self.program(shape_wait="2s").start()
        self.expect_exit(program, 6, "schema_id 300", "after 2 s")

    def test_a_new_table_in_a_new_topic(self):
        self.begin()
        self.write(range(4))
        program = self.program().start()
        self.caught_up(program)
        other = self.database + "x"
        self.hand.topic(f"db.{other}")
        self.hand.shape(other, "t", 500, f"db.{other}")
        self.hand.row(other, "t", 77, "in the new one", schema_id=500)
        self.hand.flush()
        tr.wait_until(lambda: 77 in self.store.rows(), "the new table's row", 30)
        self.stop(program)


class Start(RuntimeCase):
    def fill(self, count=200, **settings):
        self.begin()
        self.write(range(count))
        program = self.program(**settings).start()
        self.caught_up(program)
        self.stop(program)
        return program

    def test_a_lost_store_is_noticed_and_reset_fills_it(self):
        program = self.fill()
        shutil.rmtree(self.store.path)
        program.start()
        self.expect_exit(program, 6, "lost its marker", "reset --to beginning")
        plan = program.run("reset", "--to", "beginning")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("200 records to replay in 4 partitions", plan.stdout)
        self.assertIn("nothing was changed", plan.stdout)
        program.start()
        self.expect_exit(program, 6, "lost its marker")
        done = program.run("reset", "--to", "beginning", "--execute")
        self.assertEqual(done.returncode, 0, done.stderr)
        program.start()
        self.caught_up(program)
        self.assertEqual(len(self.store.rows()), 200)
        audits = [record for record in self.hand.kafka.read(self.hand.control)
                  if record["key"].startswith('["audit"')]
        self.assertEqual(len(audits), 1)
        self.assertEqual(json.loads(audits[0]["payload"])["action"], "reset")

    def test_reset_with_drop(self):
        program = self.fill()
        plan = program.run("reset", "--to", "beginning", "--drop")
        self.assertIn(f"rows of {self.database}.t", plan.stdout)
        self.assertEqual(len(self.store.rows()), 200)
        refused = program.run("reset", "--to", "beginning", "--drop", "--execute")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--confirm fake", refused.stderr)
        refused = program.run("reset", "--to", "beginning", "--drop", "--execute", "--confirm",
                              "redis")
        self.assertEqual(refused.returncode, 1)
        self.assertEqual(len(self.store.rows()), 200)
        done = program.run("reset", "--to", "beginning", "--drop", "--execute", "--confirm", "fake")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.store.lines(), [])
        program.start()
        self.caught_up(program)
        self.assertEqual(len(self.store.rows()), 200)

    def test_reset_refuses_while_members_are_live(self):
        self.begin()
        program = self.program().start()
        self.caught_up(program)
        refused = program.run("reset", "--to", "beginning", "--execute")
        self.assertEqual(refused.returncode, 6)
        self.assertIn("live member", refused.stderr)

    def test_a_store_of_another_pipeline(self):
        program = self.fill()
        marker = self.store.path / "marker"
        marker.write_text(marker.read_text().replace(self.hand.pipeline_id, "f" * 16))
        program.start()
        self.expect_exit(program, 6, "filled by pipeline", "f" * 16)
        self.assertEqual(program.run("check").returncode, 6)
        self.assertEqual(program.run("reset", "--to", "beginning").returncode, 6)

    def test_an_older_copy_catches_up(self):
        program = self.fill(100)
        copy = self.folder / "copy"
        shutil.copytree(self.store.path, copy)
        program.start()
        self.write(range(100, 300))
        self.caught_up(program)
        self.stop(program)
        shutil.rmtree(self.store.path)
        copy.rename(self.store.path)
        self.assertEqual(len(self.store.rows()), 100)
        program.start()
        status = self.caught_up(program)
        self.assertEqual(len(self.store.rows()), 300)
        self.assertEqual(self.total(status, "read"), 200)
        self.assertNotIn("verify or rebuild", program.log_text())

    def compacted(self, **settings):
        self.hand.kafka.create(self.topic, self.hand.partitions, cleanup_policy="compact",
                               **settings)
        self.hand.made.add(self.topic)

    def test_away_for_longer_than_tombstones_are_kept(self):
        """Whatever is left of that time: here a row that was written just now."""
        self.compacted(delete_retention_ms=1500)
        program = self.fill(40)
        self.assertNotIn("verify or rebuild", program.log_text())
        time.sleep(2)
        self.write(range(40, 80))
        program.start()
        self.caught_up(program)
        self.assertIn("away or behind for longer than tombstones are kept", program.log_text())
        self.assertIn("verify or rebuild the store", program.log_text())

    def test_idle_is_not_away(self):
        self.compacted(delete_retention_ms=12000)
        self.begin()
        self.write(range(40))
        program = self.program().start()
        self.caught_up(program)
        time.sleep(13)
        self.stop(program)
        self.write(range(40, 80))
        program.start()
        self.caught_up(program)
        self.assertNotIn("verify or rebuild", program.log_text())

    def test_half_filled_is_not_away(self):
        """What is read from the beginning may be older than any tombstone."""
        self.compacted(delete_retention_ms=8000)
        self.begin()
        self.write(range(800))
        time.sleep(9)
        program = self.program(slow_ms=200, batch_records_max=10).start()
        program.wait_status(lambda one: self.total(one, "applied") >= 80, "a part is applied")
        self.stop(program)
        self.assertLess(len(self.store.rows()), 800)
        program.start()
        program.wait_status(lambda one: one["partitions"], "it reads again")
        self.stop(program)
        self.assertNotIn("verify or rebuild", program.log_text())

    def test_an_older_copy_of_before_what_was_compacted_away(self):
        self.compacted(delete_retention_ms=3600000, min_cleanable_dirty_ratio=0.001,
                       segment_ms=100)
        program = self.fill(40)
        copy = self.folder / "copy"
        shutil.copytree(self.store.path, copy)
        begin = self.ends()
        program.start()
        for text in ("one", "two"):
            self.write(range(40, 80), text)
            time.sleep(0.2)
        self.caught_up(program)
        self.stop(program)
        self.assertNotIn("verify or rebuild", program.log_text())
        numbers = iter(range(1000, 10000))

        def gone():
            """A segment is closed, so that it may be compacted, when the next record comes."""
            self.write([next(numbers) for _ in range(8)])
            return {(partition, offset) for partition, offset in begin.items()}.isdisjoint(
                (one["partition"], one["offset"]) for one in self.hand.kafka.read(self.topic))
        tr.wait_until(gone, "all that came first after the copy is compacted away", 180, 1)
        shutil.rmtree(self.store.path)
        copy.rename(self.store.path)
        program.start()
        self.caught_up(program)
        self.assertIn("deletes may be gone from the topic unread: verify or rebuild",
                      program.log_text())

    def test_control_of_a_higher_format(self):
        self.begin()
        self.hand.kafka.send(self.hand.control, 0, '["topic","db.later"]', '{"format":2}')
        self.hand.flush()
        self.expect_exit(self.program().start(), 6, "format")


class Crashes(RuntimeCase):
    def kill_at(self, point, **settings):
        self.begin()
        program = self.program(**settings)
        self.write(range(300))
        program.start(env={"TAILRACE_KILL_AT": point})
        self.assertEqual(program.wait_exit(40), -9)
        self.write(range(200, 500), text="two")
        program.start()
        self.caught_up(program)
        return program

    def assert_rows(self, missing=()):
        wanted = {number: f"{'two' if number >= 200 else 'one'} {number}" for number in range(500)}
        self.assertEqual(self.store.rows(),
                         {number: text for number, text in wanted.items() if number not in missing})

    def test_killed_between_apply_and_commit(self):
        self.kill_at("after-apply")
        self.assert_rows()

    def test_killed_after_a_commit(self):
        self.kill_at("after-commit")
        self.assert_rows()

    def test_killed_before_a_dead_letter(self):
        program = self.kill_at("before-dead-letter", poison="one 17")
        self.assert_rows(missing=[17, *range(170, 180)])
        letters = self.hand.kafka.read(f"tailrace.{self.hand.pipeline}.dead.fake")
        dead = {json.loads(one["payload"])["data"]["id"] for one in letters}
        self.assertEqual(dead, {17, *range(170, 180)})
        self.stop(program)


class Drain(RuntimeCase):
    """A process that is told to let go while the store has not answered yet: what its lanes have is
    applied and committed, and nobody reads it again."""

    # A lane has two batches, and a drain has time for both.
    SLOW_MS = 4000

    def fill_lanes(self, rows, **settings):
        """A process with all of the rows in flight: none of its calls to the store has returned."""
        self.begin()
        program = self.program("slow", slow_ms=self.SLOW_MS, **settings).start()
        self.caught_up(program)
        self.write(range(rows))
        program.wait_status(lambda one: self.total(one, "in_flight") == rows, "all in flight")
        return program

    def applied(self):
        """partition → how many rows the store was given: its first ones, and none twice."""
        found = dict.fromkeys(range(self.hand.partitions), 0)
        for number in sorted(line["key"]["pk.id"] for line in self.store.lines()):
            place, partition = divmod(number, self.hand.partitions)
            self.assertEqual(place, found[partition], f"row {number}")
            found[partition] += 1
        return found

    def committed(self):
        found = self.hand.kafka.committed(f"{self.hand.pipeline}.fake", self.topic,
                                          self.hand.partitions)
        return {partition: offset or 0 for partition, offset in found.items()}

    def test_a_stop_applies_what_is_in_flight(self):
        account = self.stop(self.fill_lanes(400))
        self.assertEqual((account["read"], account["applied"], account["released"]), (400, 400, 0))
        self.assertEqual(self.applied(), dict.fromkeys(range(self.hand.partitions), 100))
        self.assertEqual(self.store.progress(self.topic), self.ends())
        self.assertEqual(self.committed(), self.ends())

    def test_a_stop_releases_only_what_no_lane_has(self):
        """Batches of ten: of each lane one is at the store and a full one is behind it."""
        lanes, batch = 2, 10
        account = self.stop(self.fill_lanes(400, batch_records_max=batch))
        self.assertGreaterEqual(account["applied"], lanes * (1 + batch))
        self.assertEqual(account["applied"] + account["released"], 400)
        applied = self.applied()
        self.assertEqual(sum(applied.values()), account["applied"])
        self.assertEqual(self.committed(), applied)
        again = self.program("again").start()
        status = self.caught_up(again)
        self.assertEqual(self.total(status, "read"), account["released"])
        self.assertEqual(self.applied(), dict.fromkeys(range(self.hand.partitions), 100))
        self.stop(again)

    def test_a_rebalance_applies_what_is_in_flight(self):
        self.kafka["heartbeat.interval.ms"] = "300"  # by which the first hears of the second
        first = self.fill_lanes(400)
        second = self.program("second").start()
        first.wait_log("partitions revoked")
        self.assertLess(len(self.store.lines()), 400)
        self.wait_shared(first, second)
        self.assertEqual(self.committed(), self.ends())
        account = self.stop(first)
        self.assertEqual((account["read"], account["applied"], account["released"]), (400, 400, 0))
        self.caught_up(second)
        self.assertEqual(self.stop(second)["read"], 0)
        self.assertEqual(self.applied(), dict.fromkeys(range(self.hand.partitions), 100))


class Group(RuntimeCase):
    def test_a_rebalance_between_two_processes(self):
        self.begin()
        first = self.program("first", slow_ms=20).start()
        self.caught_up(first)
        for turn in range(5):
            self.write(range(400), text=f"a{turn}")
        second = self.program("second", slow_ms=20).start()
        for turn in range(10):
            self.write(range(400), text=f"b{turn}")
            time.sleep(0.2)
        self.wait_shared(first, second)
        account = self.stop(first)
        self.write(range(400), text="c")
        status = self.caught_up(second)
        self.assertEqual(self.store.rows(), {number: f"c {number}" for number in range(400)})
        # What a process gave back is read again, and nothing else.
        again = account["read"] + self.total(status, "read") - 16 * 400
        self.assertEqual(again, account["released"] + self.total(status, "released"))
        self.assertEqual(self.stop(second)["dead"], 0)

    def test_a_store_that_needs_all_partitions_refuses_a_part(self):
        self.begin()
        pair = []
        for label in ("one", "two"):
            port = tr.free_port()
            config = self.folder / f"{label}.yaml"
            config.write_text(json.dumps({
                "pipeline": self.hand.pipeline,
                "kafka": {"bootstrap.servers": tr.places()["KAFKA_BOOTSTRAP"]},
                "sqlite": {"path": str(self.folder / f"{label}.db"),
                           "http": {"listen": f"127.0.0.1:{port}"}}}))
            pair.append(tr.Program("sqlite", self.folder, config, port, label))
        self.programs += pair
        for program in pair:
            program.start()
        tr.wait_until(lambda: not all(program.running() for program in pair),
                      "one of the two stops", 70)
        pair.sort(key=tr.Program.running)
        # To one that comes when the other has committed, its own new file is a lost store.
        self.expect_exit(pair[0], 6)
        self.assertRegex(pair[0].log_text(), "needs all of them in one|lost its marker")
        # Each had a part from the first on, so the other may end in the same moment.
        pair[1].child.terminate()
        self.assertIn(pair[1].wait_exit(), (0, 6), pair[1].tail())

    def test_nothing_is_passed_over_while_members_come_and_go(self):
        self.begin()
        steady = self.program("steady").start()
        self.caught_up(steady)
        stop = threading.Event()
        written = []

        def write():
            while not stop.is_set():
                number = len(written)
                self.hand.row(self.database, "t", number, f"row {number}")
                written.append(number)
                if number % 100 == 0:
                    time.sleep(0.003)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for turn in range(8 if tr.FULL else 4):
                guest = self.program(f"guest{turn}").start()
                guest.wait_status(lambda status: len(status["partitions"]) > 0, "partitions")
                time.sleep(1)
                self.stop(guest)
        finally:
            stop.set()
            writer.join()
        self.hand.flush()
        self.caught_up(steady)
        rows = self.store.rows()
        missing = [number for number in written if number not in rows]
        self.assertEqual(missing[:10], [], f"{len(missing)} of {len(written)} rows")
        self.stop(steady)


if __name__ == "__main__":
    tr.main()
