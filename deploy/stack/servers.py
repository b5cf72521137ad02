"""The four real servers: how each is prepared, started, asked whether it answers, and stopped.

Each class has the same small face: `prepare()` makes its folder once, `start(extra)` starts the
process, `answers()` asks the server itself by its own protocol, `endpoints()` names it for
clients. stack.py does the rest for all of them alike.
"""

import base64
import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import fetch
from fetch import StackError
from process import POLL_S, Process, receive

HOST = "127.0.0.1"
PROBE_TIMEOUT_S = 2


class Server:
    """What the four have in common; `base` is the stack's folder."""

    name = ""
    ports = 1
    memory_mb = 0
    # Generous: a busy machine of two cores takes many times as long as an idle one.
    ready_s = 300
    stop_s = 120

    def __init__(self, base, port):
        self.base = Path(base)
        self.folder = self.base / self.name
        self.port = port
        self.process = Process(self.name, self.folder)
        # Set from another thread to end a start that is under way.
        self.give_up = threading.Event()

    def running(self):
        return self.process.pid() is not None

    def prepare(self):
        self.folder.mkdir(mode=0o755, exist_ok=True)

    def start(self, extra=()):
        """Starts the server and returns when it answers; else it is gone again."""
        self.give_up.clear()
        self.prepare()
        try:
            self.launch(list(extra))
            self.wait_ready()
        except BaseException:
            self.process.kill()
            raise

    def wait_ready(self):
        end = time.monotonic() + self.ready_s
        while not self.answers():
            if not self.starting():
                raise self.process.failure("ended while starting")
            if self.give_up.is_set():
                raise StackError(f"the start of {self.name} was interrupted")
            if time.monotonic() > end:
                raise self.process.failure(f"does not answer after {self.ready_s} s")
            time.sleep(POLL_S)

    def starting(self):
        return self.running()

    def launch(self, extra):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def endpoints(self):
        raise NotImplementedError

    def stop(self):
        """Ends the server cleanly."""
        self.process.signal(signal.SIGTERM)
        if not self.process.wait_gone(self.stop_s):
            raise StackError(f"{self.name} did not stop within {self.stop_s} s; "
                             f"see {self.process.log}, or use 'stack kill {self.name}'")

    def kill(self):
        self.process.kill()


class MariaDB(Server):
    name = "mariadb"
    memory_mb = 1024

    def __init__(self, base, port):
        super().__init__(base, port)
        self.socket = self.folder / "s"
        self.data = self.folder / "data"
        self.tls = self.folder / "tls"
        self.temporary = self.folder / "tmp"
        self.password_file = self.base / "source.password"

    def own(self):
        """Whose it is, and where its temporary tables are: a server that starts removes what it
        finds there of others."""
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        return [*user, f"--tmpdir={self.temporary}"]

    def prepare(self):
        super().prepare()
        if len(str(self.socket)) > 100:
            raise StackError(f"the folder's path is too long for a Unix socket: {self.socket}")
        self.temporary.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
            shutil.chown(self.temporary, "mysql", "mysql")
        if not (self.tls / "wrong-ca.pem").exists():
            make_certificates(self.tls)
        if not (self.data / "mysql").is_dir():
            self.install()
        if not self.password_file.exists():
            write_secret(self.password_file, secrets.token_hex(12) + "\n")

    def install(self):
        """Makes the data folder beside its place, so that a broken one is never started.

        --force: without it a machine whose own name is not in DNS or /etc/hosts is refused,
        and nothing here connects by that name.
        """
        temp = self.folder / "data.new"
        shutil.rmtree(temp, ignore_errors=True)
        done = fetch.run_quiet(
            ["mariadb-install-db", "--no-defaults", *self.own(), f"--datadir={temp}",
             "--auth-root-authentication-method=normal", "--skip-test-db", "--force"])
        if done.returncode != 0:
            raise StackError(f"mariadb-install-db failed: {fetch.last_lines(done.stdout, 8)}")
        temp.rename(self.data)

    def launch(self, extra):
        child = self.process.spawn(
            ["mariadbd", "--no-defaults", *self.own(), f"--datadir={self.data}",
             f"--socket={self.socket}", f"--pid-file={self.folder / 'mariadbd.pid'}",
             f"--port={self.port}", f"--bind-address={HOST}", "--server-id=1101",
             "--log-bin=bin", "--binlog-format=ROW", "--binlog-row-image=FULL",
             "--binlog-row-metadata=FULL", "--gtid-domain-id=0", "--log-slave-updates=ON",
             "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--max-binlog-size=1G",
             "--character-set-server=utf8mb4", f"--ssl-ca={self.tls / 'ca.pem'}",
             f"--ssl-cert={self.tls / 'server.pem'}", f"--ssl-key={self.tls / 'server.key'}",
             *extra])
        self.process.remember(child.pid)

    def wait_ready(self):
        super().wait_ready()
        # The account is made anew at every start: a test may have dropped it.
        password = self.password_file.read_text().strip()
        self.sql("SET sql_log_bin=0;"
                 f"CREATE USER IF NOT EXISTS tailrace@'%' IDENTIFIED BY '{password}';"
                 f"ALTER USER tailrace@'%' IDENTIFIED BY '{password}';"
                 "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO tailrace@'%'")

    def client(self, program, *arguments, timeout_s):
        return subprocess.run(
            [program, "--no-defaults", "-S", str(self.socket), "-uroot", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
            check=False)

    def sql(self, text):
        try:
            done = self.client("mariadb", "-e", text, timeout_s=self.ready_s)
        except subprocess.TimeoutExpired as error:
            raise self.process.failure(f"does not answer after {self.ready_s} s") from error
        if done.returncode != 0:
            raise StackError(f"mariadb refused the stack's own set-up: {done.stderr.strip()}")

    def answers(self):
        try:
            done = self.client("mariadb-admin", "--silent", "ping", timeout_s=30)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def endpoints(self):
        return {
            "MARIADB_HOST": HOST, "MARIADB_PORT": self.port, "MARIADB_SOCKET": self.socket,
            "MARIADB_USER": "tailrace", "MARIADB_PASSWORD_FILE": self.password_file,
            "MARIADB_CA": self.tls / "ca.pem", "MARIADB_WRONG_CA": self.tls / "wrong-ca.pem",
        }


class Kafka(Server):
    name = "kafka"
    ports = 2
    memory_mb = 2048

    def prepare(self):
        super().prepare()
        self.libs = fetch.fetch_kafka(lambda text: None)
        self.properties = self.folder / "server.properties"
        self.properties.write_text(self.settings())
        (self.folder / "log4j2.properties").write_text(KAFKA_LOGGING)
        if not (self.folder / "data" / "meta.properties").exists():
            self.format()

    def settings(self):
        return (
            "process.roles=broker,controller\nnode.id=1\n"
            f"controller.quorum.voters=1@{HOST}:{self.port + 1}\n"
            f"listeners=PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self.port + 1}\n"
            "controller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
            f"log.dirs={self.folder / 'data'}\n"
            "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n"
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
            "transaction.state.log.num.partitions=4\n"
            "group.initial.rebalance.delay.ms=0\n")

    def java(self, *arguments):
        return [java_home() / "bin" / "java", "-cp", f"{self.libs}/*",
                f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}", *arguments]

    def format(self):
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        done = fetch.run_quiet(
            [str(part) for part in self.java("kafka.tools.StorageTool", "format", "-t", cluster,
                                             "-c", self.properties)])
        if done.returncode != 0:
            raise StackError(f"formatting Kafka's folder failed: {fetch.last_lines(done.stdout)}")

    def launch(self, extra):
        with open(self.properties, "a", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in extra)
        child = self.process.spawn(
            self.java("-Xms512m", "-Xmx1g", "kafka.Kafka", self.properties))
        self.process.remember(child.pid)

    def answers(self):
        """True when a Metadata answer lists a broker: it is registered and serves clients."""
        # Header: api 3, version 4, correlation 1, client id "s"; body: no topics, no creation.
        request = struct.pack(">hhih1siB", 3, 4, 1, 1, b"s", 0, 0)
        try:
            with socket.create_connection((HOST, self.port), PROBE_TIMEOUT_S) as sock:
                sock.sendall(struct.pack(">i", len(request)) + request)
                size = struct.unpack(">i", receive(sock, 4))[0]
                answer = receive(sock, min(size, 1024))
        except OSError:
            return False
        # Correlation id and throttle time come before the number of brokers.
        return len(answer) >= 12 and struct.unpack_from(">i", answer, 8)[0] > 0

    def endpoints(self):
        return {"KAFKA_BOOTSTRAP": f"{HOST}:{self.port}"}


class Redis(Server):
    name = "redis"
    memory_mb = 512

    def launch(self, extra):
        child = self.process.spawn(
            ["redis-server", "--port", self.port, "--bind", HOST, "--dir", self.folder,
             "--save", "", "--appendonly", "no", "--daemonize", "no", *extra])
        self.process.remember(child.pid)

    def answers(self):
        try:
            with socket.create_connection((HOST, self.port), PROBE_TIMEOUT_S) as sock:
                sock.sendall(b"PING\r\n")
                return receive(sock, 7) == b"+PONG\r\n"
        except OSError:
            return False

    def endpoints(self):
        return {"REDIS_URL": f"redis://{HOST}:{self.port}/0", "REDIS_PORT": self.port}


class Elasticsearch(Server):
    name = "elasticsearch"
    ports = 2
    memory_mb = 2560

    def prepare(self):
        super().prepare()
        self.home = fetch.fetch_elasticsearch(lambda text: None)
        config = self.folder / "config"
        if not config.is_dir():
            shutil.copytree(self.home / "config", config)
        keep = [line for line in (self.home / "config" / "jvm.options").read_text().splitlines()
                if not any(word in line for word in ("gc", "HeapDump", "ErrorFile"))]
        (config / "jvm.options").write_text("\n".join(keep) + "\n")
        (config / "jvm.options.d").mkdir(exist_ok=True)
        (config / "jvm.options.d" / "heap.options").write_text("-Xms1g\n-Xmx1g\n")
        for part in ("data", "logs", "tmp"):
            (self.folder / part).mkdir(exist_ok=True)
        self.own_files()

    def own_files(self):
        """Elasticsearch refuses to run as root: its folder belongs to the user it runs as."""
        if os.geteuid() != 0:
            return
        for folder, _, files in os.walk(self.folder):
            for name in (".", *files):
                shutil.chown(os.path.join(folder, name), "nobody", "nogroup")

    def settings(self, extra):
        lines = [
            "cluster.name: tailrace", "node.name: one", f"path.data: {self.folder / 'data'}",
            f"path.logs: {self.folder / 'logs'}", f"network.host: {HOST}",
            f"http.port: {self.port}", f"transport.port: {self.port + 1}",
            "discovery.type: single-node", "action.auto_create_index: false",
            "cluster.routing.allocation.disk.threshold_enabled: false",
            "xpack.security.enabled: false", "xpack.ml.enabled: false",
        ]
        return "\n".join([*lines, *extra]) + "\n"

    def drop_root(self):
        if os.geteuid() != 0:
            return []
        uid, gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]

    def launch(self, extra):
        (self.folder / "config" / "elasticsearch.yml").write_text(self.settings(extra))
        self.server_pid = self.folder / "tmp" / "server.pid"
        self.server_pid.unlink(missing_ok=True)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder / "tmp"),
               "ES_JAVA_HOME": str(java_home()), "ES_PATH_CONF": str(self.folder / "config"),
               "ES_TMPDIR": str(self.folder / "tmp")}
        child = self.process.spawn(
            [*self.drop_root(), self.home / "bin" / "elasticsearch", "-d", "-p", self.server_pid],
            env=env, cwd=self.folder / "tmp")
        # The starter is the one to end until the server itself is known.
        self.process.remember(child.pid)

    def starting(self):
        """Moves from the starter's pid to the server's as soon as that one is written."""
        try:
            pid = int(self.server_pid.read_text())
        except (OSError, ValueError):
            return self.running()
        if self.process.pid() != pid:
            self.process.remember(pid)
        return self.running()

    def wait_ready(self):
        super().wait_ready()
        # The first answer may come before the starter has let go of the server.
        end = time.monotonic() + 30
        while self.process.child.poll() is None and time.monotonic() < end:
            time.sleep(POLL_S)
        if not self.starting():
            raise self.process.failure("ended while starting")

    def answers(self):
        url = f"http://{HOST}:{self.port}/_cluster/health"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url, timeout=PROBE_TIMEOUT_S) as answer:
                return json.load(answer)["status"] in ("green", "yellow")
        except (OSError, ValueError, KeyError):
            return False

    def endpoints(self):
        return {"ELASTICSEARCH_URL": f"http://{HOST}:{self.port}"}


SERVERS = {server.name: server for server in (MariaDB, Kafka, Redis, Elasticsearch)}

KAFKA_LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
"""


def java_home():
    """A Java that both Java servers run on: Debian's 17 where it is, else the one in PATH."""
    for home in sorted(Path("/usr/lib/jvm").glob("java-17-openjdk-*")):
        if (home / "bin" / "java").exists():
            return home
    found = shutil.which("java")
    if not found:
        raise StackError("no java found; install openjdk-17-jre-headless", 2)
    return Path(found).resolve().parent.parent


def write_secret(path, text):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)


def openssl(*arguments):
    done = fetch.run_quiet(["openssl", *[str(part) for part in arguments]])
    if done.returncode != 0:
        raise StackError(f"openssl {arguments[0]} failed: {fetch.last_lines(done.stdout)}")


def make_certificates(folder):
    """A private CA, a server certificate for localhost and 127.0.0.1, and a CA of somebody else."""
    folder.mkdir(exist_ok=True)
    for name, subject in (("ca", "tailrace stack CA"), ("wrong-ca", "another CA")):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
                "-subj", f"/CN={subject}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem.new")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", folder / "server.key", "-out", folder / "server.csr")
    (folder / "server.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-days", "3650", "-in", folder / "server.csr",
            "-CA", folder / "ca.pem.new", "-CAkey", folder / "ca.key", "-CAcreateserial",
            "-extfile", folder / "server.ext", "-out", folder / "server.pem")
    if os.geteuid() == 0:
        shutil.chown(folder / "server.key", "mysql", "mysql")
    for name in ("ca", "wrong-ca"):
        (folder / f"{name}.pem.new").rename(folder / f"{name}.pem")
