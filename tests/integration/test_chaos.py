"""Everything is killed, restarted, dropped and rebuilt under load; then every store is compared.
(Elasticsearch restarted and shared by two processes: test_elasticsearch.py.)

TAILRACE_TEST_SEED=<n> repeats a run's choices. TAILRACE_TEST_FULL=1 kills 20 times per process.
"""

import os
import random
import subprocess
import sys
import time

import tr
from writer import Writer

KILLS = 20 if tr.FULL else 5
RATE = 1200
LEAST = 1000
POINTS = {"capture": ("before-produce", "after-ack"),
          "consumer": ("after-apply", "after-commit")}
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

    def loaded(self, stores=tr.STORES, keys=2000):
        """A pipeline that runs, and a writer for it."""
        pipe = self.pipeline(stores=stores)
        pipe.configure(kafka=FAST_GROUPS)
        shop = pipe.database("shop")
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

    def die_at_point(self, program, restart):
        """Restarts it with a kill point armed, and waits until it has died there."""
        point = self.random.choice(POINTS["capture" if program.name == "capture" else "consumer"])
        program.kill()
        restart(env={"TAILRACE_KILL_AT": f"{point}:{self.random.randint(1, 6)}"})
        self.assertEqual(program.wait_exit(60), -9, f"{program.name} at {point}:\n{program.tail()}")

    def test_kill_9_of_every_process_under_load(self):
        pipe, writer = self.loaded()
        kills = {program.name: 0 for program in pipe.programs.values()}
        with writer:
            for number in range(KILLS):
                for program in pipe.programs.values():
                    restart = program.start
                    if number % 2 == 0:
                        self.die_at_random(program)
                    else:
                        self.die_at_point(program, restart)
                    kills[program.name] += 1
                    restart()
            self.finish(pipe, writer)
        self.assertEqual(set(kills.values()), {KILLS})

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
        if not program.running():
            self.assertEqual(program.wait_exit(), 6, program.tail())
        else:
            program.stop()
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
                self.assertEqual(program.stop(), 0, program.tail())
                plan = program.run("reset", "--to", "beginning", "--drop")
                self.assertEqual(plan.returncode, 0, plan.stdout + plan.stderr)
                self.assertIn("0", plan.stdout)
                self.reset(program, "--drop", "--confirm", program.name)
                program.start()
            self.finish(pipe, writer)

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
            first.wait_status(has_partitions(4), "four partitions", 60)
            second.start()
            second.wait_status(has_partitions(2), "two partitions", 60)
            self.assertEqual(first.stop(), 0, first.tail())
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
        pipe, writer = self.loaded(stores=["redis"])
        program = pipe["redis"]
        with writer:
            time.sleep(4)
            stop_redis_with_its_rows()
            before = resident_mb(program)
            time.sleep(60)
            status = program.wait_status()
            self.assertEqual(len(status["partitions"]), 4, status)
            self.assertEqual(status["state"], "retrying", status)
            self.assertLess(resident_mb(program), before + 100)
            self.assertNotIn("revoked", program.log_text())
            tr.stack().start("redis")
            self.finish(pipe, writer)


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
