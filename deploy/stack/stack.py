"""Starts and stops the real servers that quickstart and tests use.

One folder is one stack: MariaDB, Kafka, Redis and Elasticsearch (or some of them) on free
loopback ports, each with its data, log and pid file below the folder, and `endpoints.env`, which
tells clients where they are. Tests import `Stack`; people run `deploy/stack/stack`. A server keeps
its port and data over stop, kill and start. The servers outlive the script; several scripts may
work on one folder, one at a time, by the lock in it.
"""

import argparse
import contextlib
import fcntl
import json
import os
import random
import shlex
import shutil
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fetch  # noqa: E402
from fetch import StackError  # noqa: E402
from process import loopback_works, port_is_free  # noqa: E402
from servers import SERVERS  # noqa: E402

NAMES = list(SERVERS)
# Below the range that Linux takes for outgoing connections: a stopped server's port stays free.
PORT_RANGE = (12000, 31000)


def default_folder():
    return os.environ.get("TAILRACE_STACK_DIR", "/var/tmp/tailrace-stack")


def memory_free_mb(meminfo="/proc/meminfo"):
    """What the kernel says could be used now without swapping."""
    for line in Path(meminfo).read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise StackError(f"no MemAvailable in {meminfo}")


def say_on_stderr(text):
    print(f"stack: {text}", file=sys.stderr, flush=True)


class Stack:
    """The servers below one folder."""

    def __init__(self, folder=None, ports=None, say=say_on_stderr):
        self.folder = Path(folder or default_folder()).resolve()
        self.wanted_ports = dict(ports or ports_from_environment())
        self.say = say
        self.state_file = self.folder / "stack.json"
        self.servers = {}
        for name in set(self.wanted_ports) - set(NAMES):
            raise StackError(f"a port is given for '{name}'; servers are {', '.join(NAMES)}")

    # --- what is known of the folder

    def ports(self):
        try:
            return json.loads(self.state_file.read_text())["ports"]
        except FileNotFoundError:
            return {}

    def server(self, name):
        """The server of that name; it has a port once it was part of an `up`."""
        if name not in SERVERS:
            raise StackError(f"no server is called '{name}'; there are {', '.join(NAMES)}")
        port = self.ports().get(name)
        if port is None:
            raise StackError(f"{name} is not part of the stack in {self.folder}; "
                             f"run: stack up --dir {self.folder} --only {name}")
        if name not in self.servers or self.servers[name].port != port:
            self.servers[name] = SERVERS[name](self.folder, port)
        return self.servers[name]

    def known(self):
        return [self.server(name) for name in NAMES if name in self.ports()]

    def endpoints(self):
        """Where clients find the servers, as the names and values of endpoints.env."""
        found = {}
        for server in self.known():
            found.update({key: str(value) for key, value in server.endpoints().items()})
        return found

    @contextlib.contextmanager
    def lock(self):
        """One script at a time changes a stack. The descriptor is not inherited by servers."""
        with open(self.folder / "lock", "w", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    # --- the whole stack

    def up(self, names=None, extra=None):
        """Starts the named servers (default: all) that do not run; all of them or none."""
        names = list(names or NAMES)
        for name in names:
            if name not in SERVERS:
                raise StackError(f"no server is called '{name}'; there are {', '.join(NAMES)}")
        # Before anything is made or fetched: a refusal leaves nothing behind.
        self.check_folder()
        self.check_memory(names)
        self.check_wanted_ports(names)
        fetch.install_packages(fetch.packages_for(names), self.say)
        fetch.fetch_artefacts(names, self.say)
        self.check_loopback()
        self.make_folder()
        with self.lock():
            self.assign_ports(names)
            todo = [self.server(name) for name in names if not self.server(name).running()]
            self.start_together(todo, extra or {})
            self.write_endpoints()
        return self.endpoints()

    def check_memory(self, names):
        stopped = [name for name in names if not self.is_running(name)]
        need = sum(SERVERS[name].memory_mb for name in stopped)
        free = memory_free_mb()
        if free < need:
            raise StackError(f"{free / 1024:.1f} GB of memory are free, {', '.join(stopped)} need "
                             f"{need / 1024:.1f} GB; end something or use fewer servers")

    def is_running(self, name):
        return name in self.ports() and self.server(name).running()

    def check_wanted_ports(self, names):
        for name in names:
            port = self.wanted_ports.get(name)
            if port is None or (self.ports().get(name) == port and self.is_running(name)):
                continue
            if self.is_running(name):
                raise StackError(f"{name} runs on port {self.ports()[name]} already, not {port}; "
                                 f"run: stack down --dir {self.folder}")
            for taken in range(port, port + SERVERS[name].ports):
                if not port_is_free(taken):
                    raise StackError(f"port {taken} for {name} is in use; free it or give another "
                                     f"(--port {name}=N)")

    def check_loopback(self):
        if not loopback_works():
            raise StackError("there is no network: not even 127.0.0.1 takes connections; "
                             "as root run: ip link set lo up")

    def make_folder(self):
        """Servers run as other users: they must be able to pass through the folder's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0:
            return
        self.folder.chmod(self.folder.stat().st_mode | 0o711)
        self.check_folder()

    def check_folder(self):
        """Refuses a path that the servers could not work with."""
        if any(sign.isspace() for sign in str(self.folder)):
            raise StackError(f"the folder's path '{self.folder}' holds a blank, which MariaDB's "
                             "own scripts do not take; choose another folder")
        if os.geteuid() != 0:
            return
        for parent in self.folder.parents:
            if parent.exists() and not parent.stat().st_mode & 0o001:
                raise StackError(f"{parent} lets other users not pass (mode "
                                 f"{parent.stat().st_mode & 0o777:o}), and the servers run as "
                                 "users of their own; choose another folder")

    def assign_ports(self, names):
        ports = self.ports()
        for name in names:
            if self.is_running(name):
                continue
            if name in self.wanted_ports:
                ports[name] = self.wanted_ports[name]
            elif name not in ports or not all_free(ports[name], SERVERS[name].ports):
                ports[name] = find_port(SERVERS[name].ports, set(ports.values()))
        temp = self.state_file.with_suffix(".new")
        temp.write_text(json.dumps({"format": 1, "ports": ports}) + "\n")
        temp.rename(self.state_file)

    def start_together(self, servers, extra):
        """Starts all at once; when one fails, those that this call started are stopped again."""
        errors = in_parallel(servers, lambda server: server.start(extra.get(server.name, ())))
        if not errors:
            return
        in_parallel([server for server in servers if server.running()], lambda one: one.kill())
        raise errors[0]

    def down(self, remove=False):
        """Stops all servers of the folder; with `remove` the folder goes too."""
        if not self.state_file.exists():
            if remove and self.folder.exists():
                raise StackError(f"{self.folder} holds no stack (no stack.json): not removed")
            return
        with self.lock():
            running = [server for server in self.known() if server.running()]
            errors = in_parallel(running, stop_or_kill)
        if errors:
            raise errors[0]
        if remove:
            shutil.rmtree(self.folder)

    # --- one server

    def start(self, name, extra=()):
        """Starts a stopped server on its own port and data. `extra` holds for this start only."""
        server = self.server(name)
        with self.lock():
            if server.running():
                return
            if not all_free(server.port, server.ports):
                raise StackError(f"port {server.port} of {name} was taken by another program")
            server.start(extra)

    def stop(self, name):
        with self.lock():
            self.server(name).stop()

    def kill(self, name):
        with self.lock():
            self.server(name).kill()

    def restart(self, name, extra=()):
        self.stop(name)
        self.start(name, extra)

    def write_endpoints(self):
        lines = [f"{key}={shlex.quote(value)}" for key, value in self.endpoints().items()]
        temp = self.folder / "endpoints.env.new"
        temp.write_text("\n".join(lines) + "\n")
        temp.rename(self.folder / "endpoints.env")


def read_endpoints(path):
    """endpoints.env as a dict."""
    found = {}
    for line in Path(path).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key] = "".join(shlex.split(value))
    return found


def stop_or_kill(server):
    try:
        server.stop()
    except StackError as error:
        say_on_stderr(f"{error}; killed")
        server.kill()


def in_parallel(servers, act):
    """Runs `act` for every server at once; returns the errors."""
    errors = []
    all_done = [threading.Event() for _ in servers]

    def run(server, done):
        try:
            act(server)
        except Exception as error:  # reported by the caller, whatever it is
            errors.append(error)
        finally:
            done.set()

    for server, done in zip(servers, all_done):
        threading.Thread(target=run, args=(server, done)).start()
    interrupted = None
    for done in all_done:
        # Not join: Python 3.11 takes a thread for ended when its join was interrupted.
        while not done.is_set():
            try:
                done.wait()
            except KeyboardInterrupt as error:
                # Starts are given up, stops come to their own end: none is left half-way.
                interrupted = error
                for server in servers:
                    server.give_up.set()
    return ([interrupted] if interrupted else []) + errors


def all_free(port, count):
    return all(port_is_free(one) for one in range(port, port + count))


def find_port(count, taken):
    """The first of `count` neighbouring free ports, away from the other servers' ports."""
    for _ in range(1000):
        port = random.randrange(*PORT_RANGE)
        near = any(abs(port - other) < 4 for other in taken)
        if not near and all_free(port, count):
            return port
    raise StackError("no free port found on 127.0.0.1")


def ports_from_environment():
    """TAILRACE_STACK_PORTS, as in `mariadb=3307,redis=6380`."""
    text = os.environ.get("TAILRACE_STACK_PORTS", "")
    return dict(parse_port(part) for part in text.split(",") if part.strip())


def parse_port(text):
    name, _, port = text.strip().partition("=")
    if not port.isdigit() or not 0 < int(port) < 65535:
        raise StackError(f"'{text}' is no NAME=PORT", 1)
    return name, int(port)


# --- command line

def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="stack", description="Starts and stops real servers for tailrace on loopback.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetching = commands.add_parser("fetch", help="install packages and fetch artefacts only")
    fetching.add_argument("--all", action="store_true",
                          help="also the packages for building and testing tailrace")
    helps = {"up": "start servers and write endpoints.env", "down": "stop all servers",
             "endpoints": "print endpoints.env", "status": "print which servers run",
             "start": "start a server on its data and port", "stop": "stop a server cleanly",
             "restart": "stop and start a server", "kill": "end a server with SIGKILL"}
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--dir", default=None,
                             help="the stack's folder (default $TAILRACE_STACK_DIR or "
                                  "/var/tmp/tailrace-stack)")
        if name in ("start", "stop", "restart", "kill"):
            command.add_argument("name", choices=NAMES)
        if name in ("start", "restart"):
            command.add_argument("--extra", action="append", default=[], metavar="OPTION",
                                 help="one more option for the server, for this start")
        if name == "up":
            command.add_argument("--only", default=",".join(NAMES),
                                 help="servers to start, with commas (default all)")
            command.add_argument("--port", action="append", default=[], metavar="NAME=PORT",
                                 help="use this port instead of a free one")
        if name == "down":
            command.add_argument("--remove", action="store_true", help="remove the folder too")
    return parser.parse_args(argv)


def run_command(options):
    if options.command == "fetch":
        packages = fetch.packages_for(NAMES)
        if options.all:
            packages += fetch.BUILD_PACKAGES + fetch.TEST_PACKAGES
        fetch.install_packages(packages, say_on_stderr)
        fetch.fetch_artefacts(NAMES, say_on_stderr)
        return
    ports = dict(parse_port(text) for text in getattr(options, "port", []))
    stack = Stack(options.dir, ports)
    if options.command == "up":
        stack.up([name.strip() for name in options.only.split(",") if name.strip()])
    elif options.command == "down":
        stack.down(options.remove)
    elif options.command in ("start", "restart"):
        getattr(stack, options.command)(options.name, options.extra)
    elif options.command in ("stop", "kill"):
        getattr(stack, options.command)(options.name)
    elif options.command == "status":
        for server in stack.known():
            state = f"running, pid {server.process.pid()}" if server.running() else "stopped"
            print(f"{server.name} port {server.port} {state}")
    if options.command in ("up", "endpoints"):
        for key, value in stack.endpoints().items():
            print(f"{key}={shlex.quote(value)}")


def main(argv=None):
    try:
        run_command(parse_arguments(argv))
    except StackError as error:
        say_on_stderr(error)
        return error.status
    except KeyboardInterrupt:
        say_on_stderr("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
