"""`reset --to beginning` of a real store: what it leaves alone until it is told twice.

A plan changes nothing, neither in the store nor in Kafka; --drop with --execute asks for the
store's name at a terminal, and goes on at nothing else.
"""

import contextlib
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import tr

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake"))

import hand  # noqa: E402

ROWS = 100
PARTITIONS = 4
PROMPT = "Type the store's name, sqlite, to go on: "
REFUSAL = "that is not its name; nothing was changed"
END_OF_INPUT = b"\x04"


class Reset(tr.Case):
    def setUp(self):
        super().setUp()
        self.kafka = hand.Kafka(tr.places()["KAFKA_BOOTSTRAP"])
        self.addCleanup(self.kafka.close)

    def filled(self):
        """A pipeline whose rows are in SQLite, with every program stopped."""
        pipe = self.pipeline(stores=["sqlite"])
        self.shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {self.shop}.t (id INT PRIMARY KEY, v VARCHAR(20))")
        tr.insert_many(f"{self.shop}.t", [(number, str(number)) for number in range(ROWS)])
        pipe.start_all()
        pipe.assert_equal()
        for program in pipe.programs.values():
            program.stop()
        return pipe

    def kept(self, pipe):
        """All that a reset changes: which file it is and its tables (rows, marker, progress), the
        group's offsets, and in control the audits and where it ends."""
        with contextlib.closing(sqlite3.connect(pipe.sqlite_path)) as link:
            tables = list(link.iterdump())
        control = self.kafka.read(f"tailrace.{pipe.name}.control")
        return {"file": os.readlink(pipe.sqlite_path), "tables": tables,
                "group": self.kafka.committed(f"{pipe.name}.sqlite", f"db.{self.shop}", PARTITIONS),
                "audits": [one["payload"] for one in control if one["key"].startswith('["audit"')],
                "end": max(one["offset"] for one in control)}

    def rows(self, kept):
        return [line for line in kept["tables"] if line.startswith('INSERT INTO "t"')]

    def reset(self, pipe, *arguments, stdin=subprocess.DEVNULL):
        return pipe["sqlite"].run("reset", "--to", "beginning", *arguments, stdin=stdin)

    def typed(self, pipe, text):
        """Drops the store, with `text` typed at the terminal."""
        keyboard, terminal = pty.openpty()
        try:
            os.write(keyboard, text)
            return self.reset(pipe, "--drop", "--execute", stdin=terminal)
        finally:
            os.close(keyboard)
            os.close(terminal)

    def refused(self, done, text):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(text, done.stderr.splitlines()[-1])

    def test_a_plan_changes_nothing(self):
        pipe = self.filled()
        before = self.kept(pipe)
        self.assertEqual(len(self.rows(before)), ROWS)
        self.assertEqual((sum(before["group"].values()), before["audits"]), (ROWS, []))
        for more in ([], ["--drop"], ["--drop", "--confirm", "sqlite"]):
            plan = self.reset(pipe, *more)
            self.assertEqual(plan.returncode, 0, plan.stderr)
            self.assertIn(f"{ROWS} records to replay in {PARTITIONS} partitions", plan.stdout)
            self.assertEqual(plan.stdout.splitlines()[-1],
                             "nothing was changed; add --execute to do it")
            self.assertEqual(self.kept(pipe), before)
        # Nothing is read again, either.
        status = pipe["sqlite"].start().wait_status(
            lambda one: (one.get("lag") or {}).get("records") == 0, "no lag")
        self.assertEqual(tr.total(status, "read"), 0)

    def test_the_stores_name_is_asked_for(self):
        pipe = self.filled()
        before = self.kept(pipe)
        for text in (b"redis\n", b"sqlite2\n", b"\n", END_OF_INPUT):
            done = self.typed(pipe, text)
            self.refused(done, REFUSAL)
            self.assertTrue(done.stdout.endswith(PROMPT), done.stdout)
            self.assertEqual(self.kept(pipe), before)
        # The name from somewhere else is nobody's answer.
        said = pipe.folder / "name"
        said.write_text("sqlite\n")
        with open(said, "rb") as file:
            for stdin in (file, subprocess.DEVNULL):
                done = self.reset(pipe, "--drop", "--execute", stdin=stdin)
                self.refused(done, "--drop removes what the store holds: add `--confirm sqlite`")
                self.assertNotIn(PROMPT, done.stdout)
        self.assertEqual(self.kept(pipe), before)

        done = self.typed(pipe, b"sqlite\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{PROMPT}done: start `tailrace-sqlite run`", done.stdout)
        after = self.kept(pipe)
        self.assertEqual((self.rows(after), len(after["audits"])), ([], 1))
        self.assertEqual(after["group"], dict.fromkeys(range(PARTITIONS), 0))
        pipe.capture.start()
        pipe["sqlite"].start()
        pipe.assert_equal()


if __name__ == "__main__":
    tr.main()
