"""Shows tailrace at work: real servers, real input, and the proof that the stores are equal.

  deploy/quickstart                          until Ctrl-C
  deploy/quickstart --once                   unattended; exit 0 only if every store is equal
  deploy/quickstart --stores sqlite,redis    fewer stores
  deploy/quickstart clean                    stop what is left and remove the folder

It works in $TAILRACE_QUICKSTART_DIR (default /var/tmp/tailrace-quickstart), from nothing each
time: tailrace.yaml and endpoints.env are there afterwards. Missing Debian packages are installed
when it runs as root.
Exit: 0 done, 1 something failed, 2 packages or artefacts are missing, 7 a store differs.
"""

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "stack")]

import fetch  # noqa: E402
from fetch import StackError  # noqa: E402
from pipeline import BIN, POLL_S, ROOT, Counts, Pipeline, Program, build  # noqa: E402
from screen import Progress, Screen  # noqa: E402
from stack import NAMES, Stack, parse_port  # noqa: E402

STORES = ("sqlite", "redis", "elasticsearch")
# So long may nothing at all move; a busy machine starts slowly.
STALL_S = 300
COMPARE_WAIT_S = 180
MARK = "quickstart.lock"
MADE_HERE = ("tailrace-*", "tailrace.yaml", "read.db*", "*.log", *NAMES, "stack.json",
             "endpoints.env", "source.password", "lock")


def quote(path):
    return shlex.quote(str(path))


class Interrupts:
    """Ctrl-C and its like become KeyboardInterrupt, but not where a child would be lost by it."""

    def __init__(self):
        self.held = self.pending = False
        self.numbers = [signal.SIGINT, signal.SIGTERM]
        # nohup's users want it to go on.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            self.numbers.append(signal.SIGHUP)
        for number in self.numbers:
            signal.signal(number, self.arrived)

    def arrived(self, _number, _frame):
        if not self.held:
            raise KeyboardInterrupt
        self.pending = True

    @contextlib.contextmanager
    def hold(self):
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.pending:
            raise KeyboardInterrupt

    def ignore(self):
        for number in self.numbers:
            signal.signal(number, signal.SIG_IGN)


class Quickstart:
    def __init__(self, options, interrupts):
        self.options = options
        self.interrupts = interrupts
        self.folder = Path(os.environ.get("TAILRACE_QUICKSTART_DIR")
                           or "/var/tmp/tailrace-quickstart").resolve()
        self.screen = Screen()
        self.say = self.screen.say
        self.stack = Stack(self.folder, options.ports, say=lambda text: self.say(f"  {text}"))
        self.pipeline = Pipeline(self.folder, options.stores)
        self.places = {}
        self.counts = {name: Counts() for name in options.stores}
        self.equal = True
        self.began = time.monotonic()
        self.load = None
        self.lock = None

    # --- beginning and end

    def take_folder(self):
        """One quickstart at a time in a folder."""
        if not (self.folder / MARK).exists() and self.folder.exists() and any(
                self.folder.iterdir()):
            raise StackError(f"{self.folder} holds files of somebody else; set "
                             "TAILRACE_QUICKSTART_DIR to another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / MARK, "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"a quickstart already runs in {self.folder}; end it, or set "
                             "TAILRACE_QUICKSTART_DIR to another folder") from error

    def end_leftovers(self):
        """Ends what a run that was killed left behind, and forgets its data."""
        for name in ("capture", *STORES):
            if (self.folder / f"tailrace-{name}").is_dir():
                Program(name, self.folder, None, 0).stop()
        self.stack.down()
        for pattern in MADE_HERE:
            for entry in self.folder.glob(pattern):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()

    def stop(self):
        """Ends all that we started, whatever state it is in."""
        if self.load is not None and self.load.poll() is None:
            self.load.kill()
            self.load.wait()
        try:
            self.pipeline.stop()
        finally:
            self.stack.down()

    # --- the acts

    def run(self):
        names = ["mariadb", "kafka", *(one for one in self.options.stores if one != "sqlite")]
        # Refusals come before anything is made, installed or started.
        self.stack.check_folder()
        self.stack.check_memory(names)
        self.stack.check_wanted_ports(names)
        fetch.install_packages(fetch.packages_for(names) + fetch.BUILD_PACKAGES +
                               fetch.DEMO_PACKAGES, self.say)
        fetch.fetch_artefacts(names, self.say)
        self.stack.check_loopback()
        self.take_folder()
        try:
            self.end_leftovers()
            return self.show(names)
        except KeyboardInterrupt:
            self.interrupts.ignore()
            self.say("\nstopping everything")
            return 130 if self.options.once else 0 if self.equal else 7
        finally:
            # A second Ctrl-C must not leave servers behind.
            self.interrupts.ignore()
            self.stop()

    def show(self, names):
        import pymysql
        try:
            self.act(names)
        except pymysql.MySQLError as error:
            raise StackError(f"MariaDB: {error}; see {self.folder / 'mariadb' / 'log'}") from error
        self.say("every store equals the source" if self.equal else
                 "a store DIFFERS from the source")
        if not self.options.once:
            self.suggest()
            while True:
                self.pipeline.check_alive()
                time.sleep(1)
        return 0 if self.equal else 7

    def act(self, names):
        # These need packages that may have come only now.
        import catalogue
        import changes

        self.say("building tailrace")
        build(self.folder / "build.log", self.options.stores, self.show_build)
        # Whatever may be missing is missed before a server runs.
        self.say("reading Debian's package catalogue (apt-cache dumpavail)")
        packages = catalogue.read_packages(self.say)
        self.say(f"starting {', '.join(names)} in {self.folder}")
        self.places = self.stack.up(names)
        self.say(f"all of it ready {time.monotonic() - self.began:.0f} s after the beginning; "
                 "loading the catalogue into MariaDB")
        total = catalogue.load(self.places, packages)
        self.say(f"loaded {len(packages):,} packages, {total:,} rows in all")
        self.pipeline.configure(self.places, [catalogue.DATABASE, changes.BENCH_DATABASE])
        self.say(f"starting capture and {len(self.options.stores)} consumers "
                 f"({self.pipeline.config})")
        with self.interrupts.hold():
            self.pipeline.start()
        self.follow(total)
        self.compare(catalogue.DATABASE)

        self.say("changing the source")
        changes.make_changes(self.places, self.say)
        self.follow()
        self.compare(catalogue.DATABASE)

        self.sysbench(changes)
        self.compare(catalogue.DATABASE, changes.BENCH_DATABASE)

    def show_build(self, step, steps):
        if steps:
            self.screen.bars([f"  {self.screen.bar(step / steps)}  {step} of {steps} steps"])

    def sysbench(self, changes):
        seconds = self.options.sysbench_seconds
        self.say(f"sysbench oltp_write_only for {seconds} s on tables of its own")
        changes.prepare_sysbench(self.places)
        log = self.folder / "sysbench.log"
        with self.interrupts.hold():
            self.load = changes.start_sysbench(self.places, seconds, log)
        self.follow(until=self.load)
        if self.load.returncode != 0:
            raise StackError(f"sysbench failed: {fetch.last_lines(log.read_text())}")

    def follow(self, total=None, until=None):
        """Shows a bar per store until each has nothing left to read."""
        progress = {name: Progress(self.counts[name], total) for name in self.options.stores}
        before, moved, quiet = None, time.monotonic(), 0
        while quiet < 2:
            self.pipeline.check_alive()
            for name, one in progress.items():
                self.counts[name] = self.pipeline.counts(name, self.counts[name])
                one.add(self.counts[name])
            loading = until is not None and until.poll() is None
            # Twice in a row: a record may be on its way between two of the answers.
            idle = not loading and not self.behind() and self.pipeline.caught_up()
            quiet = quiet + 1 if idle else 0
            self.screen.bars([one.line(name, self.screen) for name, one in progress.items()],
                             last=quiet == 2)
            now = [self.pipeline.captured(), *self.counts.values()]
            if now != before:
                before, moved = now, time.monotonic()
            elif time.monotonic() > moved + STALL_S:
                raise StackError(f"nothing has moved for {STALL_S} s, and these have not caught "
                                 f"up: {', '.join(self.behind()) or 'capture'}; see the logs "
                                 f"below {self.folder}")
            time.sleep(POLL_S)

    def behind(self):
        return [name for name, counts in self.counts.items() if counts.lag != 0]

    def compare(self, *databases):
        """Has the comparer look at every row and column."""
        self.say("comparing every row and column with the source")
        command = ["/usr/bin/python3", str(ROOT / "tests" / "compare" / "compare.py"),
                   "--endpoints", str(self.folder / "endpoints.env"), "--database", *databases,
                   "--stores", ",".join(self.options.stores), "--sqlite",
                   str(self.folder / "read.db"), "--wait", str(COMPARE_WAIT_S)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              start_new_session=True, check=False)
        self.say("".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines())
                 .rstrip())
        if done.returncode not in (0, 7):
            raise StackError(f"the comparer ended with {done.returncode}")
        self.equal = self.equal and done.returncode == 0

    def suggest(self):
        """Commands to paste into another terminal."""
        self.say("\ntry, in another terminal:")
        if "elasticsearch" in self.options.stores:
            self.say(f"  curl -s '{self.places['ELASTICSEARCH_URL']}/debian.package/_search"
                     "?q=summary:editor&size=3&filter_path=hits.hits._source.summary&pretty'")
        if "redis" in self.options.stores:
            self.say(f"  redis-cli -p {self.places['REDIS_PORT']} get debian:package:vim")
        if "sqlite" in self.options.stores:
            self.say(f"  sqlite3 {quote(self.folder / 'read.db')} 'SELECT section, count(*) FROM "
                     f"{self.sqlite_table()} GROUP BY 1 ORDER BY 2 DESC LIMIT 5'")
        self.say(f"  mariadb --no-defaults -uroot -S {quote(self.places['MARIADB_SOCKET'])} debian"
                 "   # change something, and look again")
        self.say(f"  {quote(BIN / 'tailrace')} status --config {quote(self.pipeline.config)}\n"
                 "Ctrl-C stops everything.")

    def sqlite_table(self):
        import sqlite3
        link = sqlite3.connect(self.folder / "read.db")
        names = {name for (name,) in link.execute("SELECT name FROM sqlite_master")}
        link.close()
        return "debian__package" if "debian__package" in names else "package"

    def clean(self):
        if not (self.folder / MARK).exists():
            if self.folder.exists():
                raise StackError(f"{self.folder} is no quickstart folder: not removed")
            return 0
        self.take_folder()
        self.end_leftovers()
        shutil.rmtree(self.folder)
        self.say(f"{self.folder} is removed")
        return 0


class Parser(argparse.ArgumentParser):
    """Usage errors end with 1, as they do everywhere in tailrace."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(1, f"quickstart: {message}\n")


def seconds(text):
    # To sysbench 0 means without end.
    if not text.isdigit() or not 1 <= int(text) <= 86400:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds from 1 to 86400")
    return int(text)


def store_list(text):
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in STORES:
            raise argparse.ArgumentTypeError(f"no store is called '{name}'; there are "
                                             f"{', '.join(STORES)}")
    if not names:
        raise argparse.ArgumentTypeError("at least one store is wanted")
    return names


def parse_arguments(argv):
    parser = Parser(prog="quickstart", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["run", "clean"], default="run")
    parser.add_argument("--stores", type=store_list, default=list(STORES), metavar="STORE,STORE",
                        help="default: all three")
    parser.add_argument("--once", action="store_true",
                        help="do everything once, unattended, and stop")
    parser.add_argument("--sysbench-seconds", type=seconds, default=60, metavar="N",
                        help="how long the load runs (default 60)")
    parser.add_argument("--port", action="append", default=[], metavar="NAME=PORT",
                        help="a server's port instead of a free one, as in mariadb=3307")
    options = parser.parse_args(argv)
    options.ports = dict(parse_port(text) for text in options.port)
    return options


def main(argv=None):
    interrupts = Interrupts()
    try:
        options = parse_arguments(argv)
        quickstart = Quickstart(options, interrupts)
        return quickstart.clean() if options.command == "clean" else quickstart.run()
    except StackError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
