"""Starting, finding and ending one server process.

A server is known by its pid together with its start time, both kept in `<folder>/pid`, so that a
pid that the system gave to somebody else is never signalled. Servers run in a session of their
own with no descriptor of ours but their log, and so live on when the script that started them
ends; they are stopped by that pid only.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from fetch import StackError

POLL_S = 0.05
# Java servers say things of many hundred characters.
LINE_MAX = 200


class Process:
    """One server process, told by its pid file."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = Path(folder)
        self.log = self.folder / "log"
        self.pid_file = self.folder / "pid"
        self.child = None

    def spawn(self, command, env=None, cwd=None):
        """Starts `command`; its output is appended to the log."""
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=env, cwd=cwd, start_new_session=True, close_fds=True)
        return self.child

    def remember(self, pid):
        """Makes `pid` the one that `stop` and `kill` act on."""
        temp = self.pid_file.with_suffix(".new")
        temp.write_text(f"{pid}\n{start_time(pid)}\n")
        temp.rename(self.pid_file)

    def pid(self):
        """The pid of the running server, or None."""
        try:
            pid, started = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        self.reap()
        return int(pid) if start_time(pid) == started else None

    def reap(self):
        if self.child is not None:
            self.child.poll()

    def signal(self, number):
        pid = self.pid()
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def wait_gone(self, timeout_s):
        """True when the server has ended within `timeout_s`."""
        end = time.monotonic() + timeout_s
        while self.pid() is not None:
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        self.pid_file.unlink(missing_ok=True)
        return True

    def kill(self):
        self.signal(signal.SIGKILL)
        if not self.wait_gone(30):
            raise StackError(f"{self.name} does not end at SIGKILL; see pid in {self.pid_file}")

    def failure(self, what, lines=8):
        """The error for a server that did not come up, with the end of its log."""
        try:
            tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            tail = []
        text = "".join(f"\n  {line[:LINE_MAX]}" for line in tail)
        return StackError(f"{self.name} {what}; the end of {self.log}:{text}")


def start_time(pid):
    """A process's start in clock ticks as text; None when it is gone or a mere zombie.

    A killed leader is a zombie while its other threads still end and hold ports and files.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may itself hold blanks and parentheses.
    fields = stat[stat.rindex(")") + 2:].split()
    dead = fields[0] in "ZX" and int(fields[17]) <= 1
    return None if dead else fields[19]


def port_is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def loopback_works():
    """A port of 127.0.0.1 can be bound even where the interface is down: it takes a connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            socket.create_connection(sock.getsockname(), 5).close()
        except OSError:
            return False
    return True


def receive(sock, count):
    """Exactly `count` bytes; OSError when the other side closes before."""
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data
