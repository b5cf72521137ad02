"""A load that never stops: random changes of one table, as fast as asked, from a printed seed.

    with Writer(database, rate=1000) as writer:
        ...kill what you like...
    # all changes are committed; compare now

Inserts, updates, deletes, deletes and inserts of one key in one transaction, changed keys, and
transactions that are rolled back. Values are drawn from the seed alone, so a run with the same seed
makes the same changes (how many depends on the time).
"""

import os
import random
import sys
import threading
import time

from pymysql.constants import CLIENT

import tr

TRANSACTION_MAX = 20
LETTERS = 'abc "\\\n\u00e9\u20ac\U0001f600:%{}'


class Writer:
    """Writes to `<database>.load` in a thread of its own until it is stopped."""

    def __init__(self, database, rate=1000, seed=None, keys=2000):
        given = os.environ.get("TAILRACE_TEST_SEED")
        self.seed = seed if seed is not None else int(given or random.randrange(1 << 32))
        self.table = f"{database}.`load`"
        self.rate = rate
        self.keys = keys
        self.changes = 0
        self.statements = []
        self.error = None
        self.random = random.Random(self.seed)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        tr.sql(f"CREATE TABLE IF NOT EXISTS {self.table} (id INT PRIMARY KEY, n BIGINT,"
               " s VARCHAR(200), d DECIMAL(12,3), t DATETIME(3)) CHARACTER SET utf8mb4")
        print(f"writer: seed {self.seed} (TAILRACE_TEST_SEED)", file=sys.stderr, flush=True)

    def __enter__(self):
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        """Ends after the present transaction; an error of the source is raised here."""
        self.ended.set()
        self.thread.join(60)
        if self.error is not None:
            raise self.error
        if self.thread.is_alive():
            raise AssertionError("the writer did not end")

    def per_second(self):
        return self.changes / max(0.001, time.monotonic() - self.started)

    def work(self):
        try:
            link = tr.connect(autocommit=False, client_flag=CLIENT.MULTI_STATEMENTS)
            with link, link.cursor() as cursor:
                while not self.ended.is_set():
                    self.transaction(cursor)
                    ahead = self.changes / self.rate - (time.monotonic() - self.started)
                    if ahead > 0:
                        self.ended.wait(min(ahead, 0.1))
        except Exception as error:  # raised by stop, whatever it is
            self.error = error

    def transaction(self, cursor):
        count = self.random.randint(1, TRANSACTION_MAX)
        self.statements = []
        for _ in range(count):
            self.change(cursor)
        undone = self.random.random() < 0.03
        self.statements.append("ROLLBACK" if undone else "COMMIT")
        cursor.execute("; ".join(self.statements))  # one round trip
        while cursor.nextset():
            pass
        if not undone:
            self.changes += count

    def add(self, cursor, statement, values):
        self.statements.append(cursor.mogrify(statement, values))

    def change(self, cursor):
        key = self.random.randrange(self.keys)
        kind = self.random.random()
        if kind < 0.55:
            self.add(cursor, f"REPLACE INTO {self.table} VALUES (%s, %s, %s, %s, %s)",
                           (key, *self.values()))
        elif kind < 0.75:
            self.add(cursor, f"UPDATE {self.table} SET n = n + 1, s = %s WHERE id = %s",
                           (self.text(), key))
        elif kind < 0.90:
            self.add(cursor, f"DELETE FROM {self.table} WHERE id = %s", (key,))
        elif kind < 0.95:
            self.add(cursor, f"DELETE FROM {self.table} WHERE id = %s", (key,))
            self.add(cursor, f"INSERT INTO {self.table} VALUES (%s, %s, %s, %s, %s)",
                           (key, *self.values()))
        else:
            other = self.random.randrange(self.keys)
            self.add(cursor, f"DELETE FROM {self.table} WHERE id = %s AND id <> %s", (other, key))
            self.add(cursor, f"UPDATE {self.table} SET id = %s WHERE id = %s", (other, key))

    def values(self):
        number = self.random.randrange(-1 << 40, 1 << 40)
        decimal = f"{self.random.randrange(10 ** 9)}.{self.random.randrange(1000):03d}"
        day, milli = self.random.randint(1, 28), self.random.randrange(1000)
        stamp = f"2024-01-{day:02d} 12:00:00.{milli:03d}"
        return number, self.text(), decimal, stamp

    def text(self):
        length = self.random.randrange(120)
        return "".join(self.random.choices(LETTERS, k=length))
