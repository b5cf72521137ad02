"""The figures of tests/bench/run: each function measures one thing and its reference beside it."""

import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import latency
import loader
import tr

BULK_BYTES = 2 << 20
TURNS = 3
MARIADB = ("--max-binlog-size=1G", "--innodb-buffer-pool-size=512M")


class Table:
    """The figures, printed as they come and once more as a table at the end."""

    def __init__(self):
        self.lines = []

    def add(self, what, value, reference="", wanted="", holds=None):
        verdict = "" if holds is None else ("yes" if holds else "NO")
        self.lines.append((what, value, reference, wanted, verdict))
        print(f"  {what}: {value}  {reference}", flush=True)

    def print(self):
        head = ("figure", "tailrace", "reference of the same run", "at least", "holds")
        widths = [max(len(line[i]) for line in [head, *self.lines]) for i in range(5)]
        for line in [head, tuple("-" * width for width in widths), *self.lines]:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())

    def failed(self):
        return [line for line in self.lines if line[4] == "NO"]


def measured(command, **more):
    """Runs a program; (seconds, CPU seconds, peak RSS in MB, output)."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             **more)
    out = child.stdout.read()
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {child.returncode}:\n{errors[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out


def bare(name, *arguments):
    path = Path(tr.bin_folder()) / f"bare_{name}"
    return json.loads(measured([path, *map(str, arguments)])[3])


def rate(rows, seconds):
    return f"{rows / seconds / 1000:,.0f} k rows/s"


def prepare(rows):
    """sysbench's table with so many rows; the position before it."""
    start = tr.head()
    tr.sql("DROP DATABASE IF EXISTS bench", "CREATE DATABASE bench")
    where = tr.places()
    subprocess.run(["sysbench", "oltp_write_only", "--db-driver=mysql", "--mysql-host=127.0.0.1",
                    f"--mysql-port={where['MARIADB_PORT']}", "--mysql-user=root",
                    "--mysql-db=bench", "--tables=1", f"--table-size={rows}", "--threads=1",
                    "--create_secondary=off", "prepare"], check=True, stdout=subprocess.DEVNULL)
    return start


def pipeline(folder, stores):
    pipe = tr.Pipeline(folder, stores=stores)
    for name in ("capture", *stores):
        pipe.configure(**{name: {"tables": ["bench.*"]}})
    pipe.configure(capture={"topic": f"{pipe.name}.{{database}}"})
    if "redis" in stores:
        pipe.configure(redis={"url": tr.places()["REDIS_URL"]})
    return pipe


def bench_file(table, folder, rows, start):
    pipe = pipeline(folder, [])
    out = pipe.folder / "events.json"
    command = [pipe.capture.path(), "run", "--config", pipe.config, "--output", f"file:{out}",
               "--start", f"{start[0]}:{start[1]}", "--stop-at-end"]
    seconds, cpu, rss, _ = measured(command)
    size = out.stat().st_size
    with open(out, "rb") as lines:
        found = sum(1 for line in lines if b'"type":"insert"' in line)
    assert found == rows, f"{found} rows in the file, {rows} in the table"
    logs = sorted(Path(tr.stack().folder, "mariadb", "data").glob("bin.0*"))
    logs = [path for path in logs if path.name >= start[0]]
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        begin = time.monotonic()
        subprocess.run(["mariadb-binlog", "-vv", "--base64-output=DECODE-ROWS",
                        f"--start-position={start[1]}", *logs], stdout=nothing, check=True)
    reference = time.monotonic() - begin
    table.add("capture to file", rate(rows, seconds), f"mariadb-binlog -vv {rate(rows, reference)}",
              "300 k rows/s", rows / seconds >= 300000)
    table.add("capture to file, CPU", f"{cpu / rows * 1e6:.2f} µs/row", "", "≤ 3 µs/row",
              cpu / rows * 1e6 <= 3)
    table.add("capture to file, peak RSS", f"{rss:.0f} MB", f"{size / rows:.0f} bytes a row",
              "< 100 MB", rss < 100)
    out.unlink()
    return int(size / rows)


def bench_kafka(table, folder, rows, start, size):
    pipe = pipeline(folder, [])
    command = [pipe.capture.path(), "run", "--config", pipe.config,
               "--start", f"{start[0]}:{start[1]}", "--stop-at-end"]
    seconds, cpu, rss, _ = measured(command)
    loop = bare("kafka", tr.places()["KAFKA_BOOTSTRAP"], f"{pipe.name}.bare", 4, rows, size)
    table.add("capture to Kafka", rate(rows, seconds), f"bare loop {rate(rows, loop['seconds'])}",
              "120 k rows/s", rows / seconds >= 120000)
    table.add("capture to Kafka, CPU", f"{cpu / rows * 1e6:.2f} µs/row",
              f"bare loop {loop['cpu'] / rows * 1e6:.2f} µs/row")
    table.add("capture to Kafka, peak RSS", f"{rss:.0f} MB", f"bare loop {loop['rss_mb']:.0f} MB",
              "< 100 MB", rss < 100)


def applied(status):
    return sum(part["applied"] or 0 for part in status["partitions"])


def replay(pipe, store, rows):
    """Rows a second from the first status that shows any to the last row."""
    program = pipe[store].start()
    first = program.wait_status(lambda one: one.get("partitions") and applied(one) > 0,
                                "a first row", 120)
    begin = time.monotonic()
    before = applied(first)
    tr.wait_until(lambda: applied(program.wait_status()) >= rows, f"{store}: all rows", 900, 0.1)
    seconds = time.monotonic() - begin
    if before >= rows:
        raise SystemExit(f"{store}: too few rows to measure")
    pipe.assert_accounts()
    program.stop()
    return (rows - before) / seconds


def reset(pipe, store):
    """Empties the store, so that the next start fills it again."""
    done = pipe[store].run("reset", "--to", "beginning", "--drop", "--confirm", store, "--execute",
                           timeout_s=300)
    if done.returncode != 0:
        raise SystemExit(f"{store}: reset ended with {done.returncode}: {done.stderr}")


def bench_stores(table, folder, rows, start, size, stores):
    pipe = pipeline(folder, stores)
    command = [pipe.capture.path(), "run", "--config", pipe.config,
               "--start", f"{start[0]}:{start[1]}", "--stop-at-end"]
    measured(command)
    if "redis" in stores:
        loop = bare("redis", tr.places()["REDIS_PORT"], min(rows, 300000), size)
        tr.redis("flushall")
        speed = replay(pipe, "redis", rows)
        limit = loop["rows"] / loop["seconds"]
        table.add("Redis", rate(speed, 1), f"pipelined guarded EVALSHA {rate(limit, 1)}",
                  "80 k rows/s", speed >= 80000)
        tr.redis("flushall")
    if "sqlite" in stores:
        path = folder / "bare.db"
        loop = bare("sqlite", path, rows, 10000)
        speed = replay(pipe, "sqlite", rows)
        table.add("SQLite, key order", rate(speed, 1),
                  f"bare guarded upsert {rate(rows, loop['seconds'])}", "80 k rows/s",
                  speed >= 80000)
    if "elasticsearch" in stores:
        bench_elasticsearch(table, pipe, rows)
    pipe.end()


def bench_elasticsearch(table, pipe, rows):
    """The loader and we in turns on one warm node that holds nothing else; each of our turns is
    held against the mean of the loader's before and after it."""
    bare = loader.Loader(tr.places()["ELASTICSEARCH_URL"], rows, BULK_BYTES)
    steady = bare.warm()

    def turn():
        bare.wait_idle()
        with bare.cpu() as used:
            speed = replay(pipe, "elasticsearch", rows)
        reset(pipe, "elasticsearch")
        return speed, used.seconds

    def reference():
        bare.wait_idle()
        with bare.cpu() as used:
            speed = bare.run()
        return speed, used.seconds

    turn()  # our own way through the server is warmed too
    theirs, ours = [reference()], []
    for _ in range(TURNS):
        ours.append(turn())
        theirs.append(reference())
    ratios = [one[0] / ((before[0] + after[0]) / 2)
              for one, before, after in zip(ours, theirs, theirs[1:])]
    ratio = statistics.median(ratios)
    speed, limit = (statistics.median(one[0] for one in some) for some in (ours, theirs))
    table.add("Elasticsearch", rate(speed, 1), f"bare bulk loader {rate(limit, 1)}",
              f"85 %, here {ratio:.0%}", ratio >= 0.85)
    table.add("Elasticsearch, server CPU", *(
        f"{statistics.median(one[1] for one in some) / rows * 1e6:.0f} s per 1 M rows"
        for some in (ours, theirs)))
    print(f"    turns: {', '.join(f'{one:.0%}' for one in ratios)}; the loader "
          f"{', '.join(rate(one[0], 1) for one in theirs)}"
          f"{'' if steady else '; its rate was NOT steady before'}", flush=True)


def bench_latency(table, folder):
    pipe = pipeline(folder, list(tr.STORES))
    start = tr.head()
    tr.sql("CREATE DATABASE IF NOT EXISTS bench")
    pipe.capture.start("--start", f"{start[0]}:{start[1]}")
    tr.sql("CREATE TABLE bench.latency(id BIGINT PRIMARY KEY, note VARCHAR(40))",
           "INSERT INTO bench.latency VALUES (0, 'first')")
    pipe.wait_captured()
    for program in pipe.consumers():
        program.start()
    pipe.wait_caught_up()
    found = latency.measure(pipe, f"{pipe.name}.bench", changes=2000, rate=100)
    for name, (p50, p99) in found.items():
        wanted = ("10 ms p50", p50 < 10) if name == "Kafka" else ("", None)
        table.add(f"commit to {name}, 100 changes/s", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", "",
                  *wanted)
    pipe.end()


def run(folder, rows, parts):
    """Starts a private stack, measures `parts` and prints the table; whether all figures hold."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    table = Table()
    stack = tr.Stack()
    stack.up(tr.SERVERS, extra={"mariadb": list(MARIADB)})
    try:
        tr._stack = stack
        start = prepare(rows)
        size = bench_file(table, work, rows, start) if "file" in parts else 380
        if "kafka" in parts:
            bench_kafka(table, work, rows, start, size)
        stores = [store for store in ("redis", "sqlite", "elasticsearch") if store in parts]
        if stores:
            bench_stores(table, work, rows, start, size, stores)
        if "latency" in parts:
            bench_latency(table, work)
    finally:
        stack.down(remove=True)
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{rows:,} sysbench rows, {os.cpu_count()} cores, servers on the same machine\n")
    table.print()
    return not table.failed()
