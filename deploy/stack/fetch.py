"""What the real servers are made of: Debian packages and Java artefacts.

Packages are installed with apt-get when we are root; otherwise the line to run is printed.
Kafka's libraries and the Elasticsearch zip come from Maven Central through the ordinary `mvn`
client, once: each is made in a temporary folder beside its place in the cache and renamed when
it is complete, so that a broken download never looks like a finished one and two processes
that fetch at the same time cannot disturb each other.

Used by stack.py, deploy/quickstart and the test drivers.
"""

import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

KAFKA_VERSION = "4.1.1"
ELASTICSEARCH_VERSION = "8.19.8"
LOG4J_VERSION = "2.24.3"
FETCH_TIMEOUT_S = 900
LINE_MAX = 160

# What the four servers and this stack need.
SERVER_PACKAGES = {
    "mariadb": ["mariadb-server", "python3-pymysql", "openssl"],
    "kafka": ["openjdk-17-jre-headless", "maven"],
    "redis": ["redis-server"],
    "elasticsearch": ["openjdk-17-jre-headless", "maven"],
}

# What building tailrace needs.
BUILD_PACKAGES = [
    "gcc", "libc6-dev", "cmake", "ninja-build", "pkg-config", "libmariadb-dev", "librdkafka-dev",
    "libhiredis-dev", "libjansson-dev", "libcurl4-openssl-dev", "libsqlite3-dev",
    "libmicrohttpd-dev", "libyaml-dev", "zlib1g-dev", "libcmocka-dev",
]

# What the quickstart needs besides: its load, and the commands that it prints at its end.
DEMO_PACKAGES = ["sysbench", "sqlite3", "curl"]

# What the tests, which also run the quickstart, use on top of all that.
TEST_PACKAGES = [
    *DEMO_PACKAGES, "git", "kcat", "locales", "python3-jsonschema", "clang", "libclang-rt-14-dev",
    "clang-format", "clang-tidy",
]


class StackError(Exception):
    """A failure that is told to the user as one line; `status` is the exit code."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def cache_dir():
    return Path(os.environ.get("TAILRACE_STACK_CACHE", "/var/tmp/tailrace-cache"))


def packages_for(servers):
    """The Debian packages of the named servers, each once, in a stable order."""
    names = [pkg for server in servers for pkg in SERVER_PACKAGES[server]]
    return list(dict.fromkeys(names))


def missing_packages(names):
    """Those of `names` that dpkg does not have installed."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *names],
        capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines()
                 if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install_packages(names, say):
    """Installs what is missing of `names`; without root it names the line to run."""
    missing = missing_packages(names)
    if not missing:
        return
    line = "apt-get install --no-install-recommends " + " ".join(missing)
    if os.geteuid() != 0:
        raise StackError(f"packages are missing; as root run: apt-get update && {line}", 2)
    say("installing " + " ".join(missing))
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    update = run_quiet(["apt-get", "-qq", "update"], env)
    install = run_quiet(
        ["apt-get", "-qq", "-y", "install", "--no-install-recommends", *missing], env)
    if install.returncode != 0:
        raise StackError(f"'{line}' failed: {last_lines(update.stdout + install.stdout)}; "
                         "is the package mirror reachable?", 2)


def run_quiet(command, env=None):
    """Runs a client program with its output kept for the error message."""
    try:
        return subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise StackError(
            f"'{command[0]}' did not finish within {FETCH_TIMEOUT_S} s; is the network up?",
            2) from exc
    except FileNotFoundError as exc:
        raise StackError(f"'{command[0]}' is not installed", 2) from exc


def last_lines(text, count=3):
    """The first line that tells of an error, else the last ones; without colours, in one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip()[:LINE_MAX] for line in plain.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or line.startswith("E:")]
    return " | ".join((errors[:1] or lines[-count:])) or "no output"


def maven(arguments, what):
    done = run_quiet(["mvn", "-B", "-q", "-Dstyle.color=never", *arguments])
    if done.returncode != 0:
        raise StackError(
            f"fetching {what} with Maven failed: {last_lines(done.stdout)}; it needs the network "
            f"once, or {cache_dir()} copied from a machine that has it", 2)


def made_once(place, make):
    """Returns `place`; when it is not there yet, `make(folder)` fills it and it appears whole."""
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    temp = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        temp.chmod(0o755)
        make(temp)
        try:
            temp.rename(place)
        except OSError:
            # Another process was faster; its copy is as good as ours.
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return place


KAFKA_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tailrace</groupId><artifactId>stack</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
      <version>{LOG4J_VERSION}</version></dependency>
  </dependencies>
</project>
"""


def fetch_kafka(say):
    """The folder with Kafka's jars."""
    def make(folder):
        say(f"fetching Kafka {KAFKA_VERSION}")
        pom = folder / "pom.xml"
        pom.write_text(KAFKA_POM)
        maven(["-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime",
               f"-DoutputDirectory={folder / 'libs'}"], "Kafka")
        if not list((folder / "libs").glob("kafka_*.jar")):
            raise StackError("Maven ended well but brought no Kafka jar")

    return made_once(cache_dir() / f"kafka-{KAFKA_VERSION}", make) / "libs"


def fetch_elasticsearch(say):
    """Elasticsearch's home folder, readable by everybody and written to by nobody."""
    def make(folder):
        say(f"fetching Elasticsearch {ELASTICSEARCH_VERSION}")
        group = "org.elasticsearch.distribution.integ-test-zip"
        artifact = f"{group}:elasticsearch:{ELASTICSEARCH_VERSION}:zip"
        maven(["dependency:copy", f"-Dartifact={artifact}",
               f"-DoutputDirectory={folder / 'zip'}"], "Elasticsearch")
        for archive in (folder / "zip").glob("*.zip"):
            unzip(archive, folder)
        shutil.rmtree(folder / "zip")
        if not home_in(folder):
            raise StackError("the Elasticsearch zip holds no bin/elasticsearch")

    return home_in(made_once(cache_dir() / f"elasticsearch-{ELASTICSEARCH_VERSION}", make))


def home_in(folder):
    found = sorted(folder.glob("*/bin/elasticsearch"))
    return found[0].parent.parent if found else None


def unzip(archive, folder):
    """Unpacks with the file modes that the archive has, which zipfile itself drops."""
    with zipfile.ZipFile(archive) as source:
        for entry in source.infolist():
            path = Path(source.extract(entry, folder))
            mode = entry.external_attr >> 16
            if mode:
                path.chmod((mode & 0o777) | 0o444)


def fetch_artefacts(servers, say):
    if "kafka" in servers:
        fetch_kafka(say)
    if "elasticsearch" in servers:
        fetch_elasticsearch(say)
