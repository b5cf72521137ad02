"""Everything is killed, restarted, dropped and rebuilt under load; then every store is compared.
(Elasticsearch restarted and shared by two processes: test_elasticsearch.py.)

TAILRACE_TEST_SEED=<n> repeats a run's choices. TAILRACE_TEST_FULL=1 kills 20 times per process.
"""

import contextlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import time

import tr
from writer import Writer

KILLS = 20 if tr.FULL else 5
RATE = 1200
LEAST = 1000
PARTITIONS = 4
# All of them: see common/base/killpoint.h.
POINTS = {"capture": ("before-produce", "after-ack"),
          "consumer": ("after-apply", "after-commit", "before-dead-letter")}
BOUND = 16 << 20
TEXT = 8192
FAST_GROUPS = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}


def has_partitions(count):
    """For wait_status: whether the consumer has that many."""
    return lambda status: len(status.get("partitions") or []) == count


class Chaos(tr.Case):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("TAILRACE_TEST_SEED") or random.randrange(1 << 32))
        self.random = random.Random(self.seed)
        print(f"seed {self.seed} (TAILRACE_TEST_SEED)", file=sys.stderr, flush=True)

    def loaded(self, stores=tr.STORES, keys=2000, numbers=None, **sections):
        """A pipeline that runs, and a writer for it. `numbers` names a column (table.column) that
        is one of numbers to Elasticsearch."""
        pipe = self.pipeline(stores=stores)
        pipe.configure(kafka=FAST_GROUPS, **sections)
        shop = pipe.database("shop")
        if numbers is not None:
            table, column = numbers.split(".")
            rule = {"table": f"{shop}.{table}", "fields": {column: "long"}}
            pipe.configure(elasticsearch={"tables": [f"{pipe.name}_*.*", rule]})
        writer = Writer(shop, rate=RATE, seed=self.seed, keys=keys)
        pipe.start_all()
        return pipe, writer

    def finish(self, pipe, writer):
        """What every test here ends with: all stores equal, every account adds up."""
        writer.stop()
        rate = writer.per_second()
        pipe.wait_caught_up(120)
        pipe.assert_equal()
        pipe.assert_accounts()
        self.assertGreaterEqual(rate, LEAST)

    # --- kills

    def die_at_random(self, program):
        time.sleep(self.random.uniform(0.2, 2.5))
        program.check_running()
        program.kill()

    def die_at_point(self, program, point, refused):
        """Restarts it with a kill point armed, and waits until it has died there."""
        program.kill()
        passing = 1 if point == "before-dead-letter" else self.random.randint(1, 6)
        program.start(env={"TAILRACE_KILL_AT": f"{point}:{passing}"})
        if point == "before-dead-letter":
            refused.write(program.name)
        self.assertEqual(program.wait_exit(60), -9, f"{program.name} at {point}:\n{program.tail()}")

    def kill_again_and_again(self, pipe, refused):
        """The points in turn, and between them any moment. Returns program → where it died."""
        died = {name: [] for name in pipe.programs}
        for number in range(KILLS):
            for name, program in pipe.programs.items():
                points = POINTS["capture" if program is pipe.capture else "consumer"]
                point = points[number // 2 % len(points)] if number % 2 == 0 else "anywhere"
                if point == "anywhere":
                    self.die_at_random(program)
                else:
                    self.die_at_point(program, point, refused)
                died[name].append(point)
                program.start()
        return died

    def test_kill_9_of_every_process_under_load(self):
        pipe, writer = self.loaded(numbers="refused.v")
        refused = Refused(pipe)
        with writer:
            died = self.kill_again_and_again(pipe, refused)
            for name in pipe.stores:
                wanted = died[name].count("before-dead-letter")
                tr.wait_until(lambda: len(dict(pipe.dead_letters(name))) == wanted,
                              f"{wanted} dead letters of {name}", step_s=1)
            refused.put_right()
            self.finish(pipe, writer)
        for name, where in died.items():
            points = POINTS["capture" if name == "capture" else "consumer"]
            self.assertEqual((name, len(where), set(where)), (name, KILLS, {*points, "anywhere"}))

    # --- servers

    def test_kafka_restarted_under_load(self):
        pipe, writer = self.loaded()
        with writer:
            time.sleep(2)
            tr.stack().restart("kafka")
            time.sleep(3)
            tr.stack().kill("kafka")
            time.sleep(2)
            tr.stack().start("kafka")
            time.sleep(3)
            self.finish(pipe, writer)

    def test_redis_set_back_to_an_older_copy_catches_up(self):
        pipe, writer = self.loaded(stores=["redis"])
        with writer:
            time.sleep(3)
            tr.redis("save")
            time.sleep(3)
            tr.stack().kill("redis")
            time.sleep(1)
            tr.stack().start("redis")
            time.sleep(2)
            self.recover_redis(pipe)
            self.finish(pipe, writer)

    def recover_redis(self, pipe):
        """Progress that is older than where the process is ends it; the next start catches up."""
        program = pipe["redis"]
        program.child.terminate()
        # 6: it has noticed by now.
        self.assertIn(program.wait_exit(), (0, 6), program.tail())
        program.start()

    def test_redis_restarted_empty_is_a_lost_store(self):
        pipe, writer = self.loaded(stores=["redis"])
        program = pipe["redis"]
        with writer:
            pipe.compare(wait_s=20)
            tr.stack().kill("redis")
            for dump in (tr.stack().folder / "redis").rglob("dump.rdb"):
                dump.unlink()
            tr.stack().start("redis")
            self.assertEqual(program.wait_exit(30), 6, program.tail())
            self.assertIn("reset", program.tail())
            self.assertEqual(program.start().wait_exit(30), 6, program.tail())
            self.reset(program)
            program.start()
            self.finish(pipe, writer)

    # --- reset

    def reset(self, program, *more):
        """Refused while the member that died is still known; then it works."""
        def attempt():
            done = program.run("reset", "--to", "beginning", *more, "--execute")
            if done.returncode == 6 and "member" in done.stderr + done.stdout:
                return None
            return done
        done = tr.wait_until(attempt, "reset", 60, 1)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def test_every_store_dropped_and_rebuilt_by_reset(self):
        pipe, writer = self.loaded()
        with writer:
            time.sleep(4)
            for program in pipe.consumers():
                refused = program.run("reset", "--to", "beginning", "--execute")
                self.assertEqual(refused.returncode, 6, refused.stdout + refused.stderr)
                program.stop()
                plan = program.run("reset", "--to", "beginning", "--drop")
                self.assertEqual(plan.returncode, 0, plan.stdout + plan.stderr)
                replayed = re.search(rf"(\d+) records to replay in {PARTITIONS} partitions",
                                     plan.stdout)
                self.assertGreater(int(replayed[1]), LEAST, plan.stdout)
                self.assertGreater(left_in(pipe, program.name), 0)  # a plan removes nothing
                self.reset(program, "--drop", "--confirm", program.name)
                self.assertEqual(left_in(pipe, program.name), 0, program.name)
                self.assert_starts_from_0(program)
            self.finish(pipe, writer)

    def assert_starts_from_0(self, program):
        before = len(program.log_text())
        program.start()

        def places():
            text = program.log_text()[before:]
            lines = [json.loads(line) for line in text.splitlines() if '"event":"reading"' in line]
            return lines if len(lines) >= PARTITIONS else None
        lines = tr.wait_until(places, f"{program.name} reads {PARTITIONS} partitions", 60)
        self.assertEqual([line["from"] for line in lines], [0] * PARTITIONS)

    # --- rebalance

    def test_rebalance_of_redis_under_load(self):
        pipe, writer = self.loaded(stores=["redis"])
        first = pipe["redis"]
        with writer:
            time.sleep(3)
            second = pipe.another("redis", "redis-2").start()
            second.wait_status(has_partitions(2), "two partitions", 60)
            first.wait_status(has_partitions(2), "two partitions", 60)
            time.sleep(2)
            second.kill()
            first.wait_status(has_partitions(PARTITIONS), "all partitions", 60)
            second.start()
            second.wait_status(has_partitions(2), "two partitions", 60)
            first.stop()
            self.finish(pipe, writer)

    # --- older copies

    def test_sqlite_replaced_by_an_older_copy_catches_up(self):
        pipe, writer = self.loaded(stores=["sqlite"])
        program = pipe["sqlite"]
        with writer:
            time.sleep(3)
            program.stop()
            file = pipe.sqlite_path.resolve()
            old = file.read_bytes()
            program.start()
            time.sleep(4)
            program.stop()
            for path in file.parent.glob(file.name + "-*"):
                path.unlink()
            file.write_bytes(old)
            program.start()
            self.finish(pipe, writer)

    def test_sqlite_wiped_is_a_lost_store(self):
        pipe, writer = self.loaded(stores=["sqlite"])
        program = pipe["sqlite"]
        with writer:
            pipe.compare(wait_s=20)
            program.stop()
            pipe.sqlite_path.resolve().unlink()
            self.assertEqual(program.start().wait_exit(30), 6, program.tail())
            self.assertIn("reset", program.tail())
            self.reset(program)
            program.start()
            self.finish(pipe, writer)

    # --- back-pressure

    def test_a_stopped_store_holds_partitions_and_memory(self):
        """Ten times more than the bound is written while Redis is down."""
        pipe, writer = self.loaded(stores=["redis"], redis={"queue_bytes_max": BOUND})
        program = pipe["redis"]
        with writer:
            time.sleep(4)
            self.addCleanup(tr.stack().up, tr.SERVERS)
            stop_redis_with_its_rows()
            before = resident_mb(program)
            began = time.monotonic()
            rows = write_large(pipe.databases[0], 10 * BOUND)
            pipe.wait_captured()
            status = program.wait_status(
                lambda one: one["lag"]["records"] > rows, "a lag that tells of all of them", 30)
            while time.monotonic() < began + 60:
                time.sleep(1)
                self.assertLess(resident_mb(program), before + 3 * BOUND / (1 << 20))
            status = program.wait_status()
            print(f"{rows} large rows: {before:.0f} MB before, {resident_mb(program):.0f} MB after,"
                  f" lag {status['lag']['records']}", file=sys.stderr, flush=True)
            self.assertEqual(len(status["partitions"]), PARTITIONS, status)
            self.assertEqual(status["state"], "retrying", status)
            self.assertNotIn("revoked", program.log_text())
            tr.stack().start("redis")
            self.finish(pipe, writer)


class Refused:
    """A table of rows that one store or another refuses until they are put right."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.table = f"{pipe.databases[0]}.refused"
        self.next = 1
        self.keys = []
        tr.sql(f"CREATE TABLE {self.table} (id INT PRIMARY KEY, v VARCHAR(20))",
               f"INSERT INTO {self.table} VALUES (0, '0')")
        tr.wait_until(lambda: sqlite_rows(pipe.sqlite_path, "refused") == 1, "the first row")
        with contextlib.closing(sqlite3.connect(pipe.sqlite_path, timeout=30)) as link:
            link.execute("CREATE UNIQUE INDEX people_want_this ON refused(v)")

    def write(self, store):
        """Elasticsearch wants numbers, SQLite each text once, and Redis no list in its place."""
        number, self.next = self.next, self.next + 1
        value = {"sqlite": "0", "redis": str(number), "elasticsearch": f"none {number}"}[store]
        if store == "redis":
            self.keys.append(f"tailrace:v:{{{self.table.replace('.', ':')}:{number}}}")
            tr.redis("rpush", self.keys[-1], "somebody wrote a list here")
        tr.sql(f"INSERT INTO {self.table} VALUES ({number}, '{value}')")

    def put_right(self):
        for key in self.keys:
            tr.redis("del", key)
        tr.sql(f"UPDATE {self.table} SET v = 1000 + id WHERE id > 0")


def sqlite_rows(path, table):
    """Rows of a table; 0 when there is no such table or no file."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as link:
            return link.execute(f"SELECT count(*) FROM \"{table}\"").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def left_in(pipe, store):
    """How much a store holds of the pipeline's table: rows, or keys with those of versions."""
    if store == "sqlite":
        return sqlite_rows(pipe.sqlite_path, "load")
    if store == "redis":
        return sum(len(tr.redis("keys", pattern).split())
                   for pattern in (f"{pipe.name}_*", f"tailrace:v:{{{pipe.name}_*"))
    found = tr.elasticsearch("GET", "/_cat/indices?format=json&expand_wildcards=all")
    return len([one for one in found if one["index"].startswith(f"{pipe.name}_")])


def write_large(database, size):
    """About so many bytes of texts that no packer makes smaller, as updates of 500 rows; returns
    how many."""
    text = "CONCAT(" + ", ".join(["HEX(RANDOM_BYTES(1024))"] * (TEXT // 2048)) + ")"
    turns = size // (TEXT * 500)
    tr.sql(f"CREATE TABLE {database}.large (id INT PRIMARY KEY, t TEXT)",
           *[f"REPLACE INTO {database}.large SELECT seq, {text} FROM {database}.seq_1_to_500"
             for _ in range(turns)])
    return turns * 500


def stop_redis_with_its_rows():
    """A clean stop that loses nothing: what was answered is there at the next start."""
    subprocess.run(["redis-cli", "-p", tr.places()["REDIS_PORT"], "shutdown", "save"],
                   capture_output=True, timeout=60, check=False)
    tr.wait_until(lambda: not tr.stack().is_running("redis"), "the end of redis", 30)


def resident_mb(program):
    with open(f"/proc/{program.child.pid}/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


if __name__ == "__main__":
    tr.main()
