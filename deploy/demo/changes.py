"""What the quickstart does to the source while everything is watching."""

import subprocess

import catalogue
from fetch import StackError

BENCH_DATABASE = "bench"
BENCH_TABLES = 2
BENCH_ROWS = 5000
# Transactions a second; each makes four row changes. Modest, so that a small machine that runs
# six servers beside it keeps up.
BENCH_RATE = 400

# What is said, and the statements of one transaction each.
STEPS = [
    ("update packages", ["UPDATE package SET priority = 'important' WHERE section = 'editors'",
                         "UPDATE package SET tags = JSON_ARRAY_APPEND(tags, '$', 'demo::seen')"
                         " WHERE section = 'games' AND tags IS NOT NULL"]),
    ("delete packages", ["DELETE FROM package WHERE section = 'debug'"]),
    ("change keys", ["UPDATE package SET name = CONCAT(name, '-renamed') WHERE section = 'kernel'",
                     "UPDATE maintainer SET id = id + 1000000 WHERE id % 10 = 0"]),
    ("undo a part of a transaction", ["SAVEPOINT one", "DELETE FROM maintainer WHERE packages = 1",
                                      "ROLLBACK TO one",
                                      "UPDATE maintainer SET seen = NOW(3)"
                                      " WHERE packages > 100"]),
    ("truncate a table", ["TRUNCATE TABLE note"]),
    ("fill it again", ["INSERT INTO note SELECT name, 2, CONCAT('second look at ', name)"
                       " FROM package WHERE section = 'web'"]),
    ("add a column", ["ALTER TABLE package ADD COLUMN reviewed DATE NULL"]),
    ("use it", ["UPDATE package SET reviewed = CURDATE() WHERE section = 'science'"]),
]


def make_changes(places, say):
    """Runs all steps and says what each did. A step that changes no row would show nothing."""
    link = catalogue.connect(places, database=catalogue.DATABASE)
    with link, link.cursor() as cursor:
        for title, statements in STEPS:
            changed = [cursor.execute(statement) for statement in statements]
            link.commit()
            for statement, rows in zip(statements, changed, strict=True):
                if rows == 0 and statement.startswith(("INSERT", "UPDATE", "DELETE")):
                    raise StackError(f"nothing in the catalogue to {title}: {statement}")
            say(f"  {title}: {max(changed)} rows" if max(changed) else f"  {title}")


def sysbench_command(places, *arguments):
    return ["sysbench", "oltp_write_only", f"--mysql-socket={places['MARIADB_SOCKET']}",
            "--mysql-user=root", f"--mysql-db={BENCH_DATABASE}", f"--tables={BENCH_TABLES}",
            f"--table-size={BENCH_ROWS}", *arguments]


def prepare_sysbench(places):
    link = catalogue.connect(places)
    with link, link.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {BENCH_DATABASE}")
        cursor.execute(f"CREATE DATABASE {BENCH_DATABASE}")
    done = subprocess.run(sysbench_command(places, "prepare"), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"sysbench prepare failed: {done.stdout[-300:]}{done.stderr[-300:]}")


def start_sysbench(places, seconds, log):
    """Starts the load; the caller waits for it and ends it."""
    with open(log, "wb") as out:
        return subprocess.Popen(
            sysbench_command(places, "--threads=2", f"--time={seconds}", f"--rate={BENCH_RATE}",
                             "run"),
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
