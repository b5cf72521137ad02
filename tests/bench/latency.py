"""How long after its commit returned a row is seen in Kafka and in each store."""

import http.client
import json
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import tr


class Watch(threading.Thread):
    """Notes when each row is first seen."""

    def __init__(self, name, changes):
        super().__init__(daemon=True)
        self.name = name
        self.changes = changes
        self.seen = {}
        self.failed = None

    def run(self):
        try:
            self.watch()
        except Exception as error:  # told by the main thread
            self.failed = error

    def watch(self):
        raise NotImplementedError


class Kafka(Watch):
    def __init__(self, topic, changes):
        super().__init__("Kafka", changes)
        self.child = subprocess.Popen(
            ["kcat", "-C", "-b", tr.places()["KAFKA_BOOTSTRAP"], "-t", topic, "-o", "end", "-u",
             "-q",
             "-X", "fetch.wait.max.ms=10", "-f", "%s\n"], stdout=subprocess.PIPE, text=True)

    def watch(self):
        while len(self.seen) < self.changes:
            line = self.child.stdout.readline()
            now = time.monotonic()
            if line.strip():
                self.seen[json.loads(line)["data"]["id"]] = now
        self.child.terminate()
        self.child.wait()


class Polled(Watch):
    """Asks for one row after the other until it is there."""

    def watch(self):
        for number in range(1, self.changes + 1):
            while not self.there(number):
                time.sleep(0.0005)
            self.seen[number] = time.monotonic()

    def there(self, number):
        raise NotImplementedError


class Sqlite(Polled):
    def __init__(self, path, changes):
        super().__init__("SQLite", changes)
        self.path = path
        self.link = None

    def there(self, number):
        if self.link is None:
            self.link = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        return self.link.execute("SELECT 1 FROM latency WHERE id = ?", (number,)).fetchone()


class Redis(Polled):
    def __init__(self, changes):
        super().__init__("Redis", changes)
        self.link = socket.create_connection(("127.0.0.1", int(tr.places()["REDIS_PORT"])))
        self.lines = self.link.makefile("rb")

    def there(self, number):
        self.link.sendall(f"EXISTS bench:latency:{number}\r\n".encode())
        return self.lines.readline() == b":1\r\n"


class Elasticsearch(Polled):
    def __init__(self, changes):
        super().__init__("Elasticsearch", changes)
        place = urllib.parse.urlparse(tr.places()["ELASTICSEARCH_URL"])
        self.link = http.client.HTTPConnection(place.hostname, place.port, timeout=10)

    def there(self, number):
        self.link.request("GET", f"/bench.latency/_doc/{number}?_source=false")
        answer = self.link.getresponse()
        answer.read()
        if answer.status not in (200, 404):
            raise OSError(f"elasticsearch answered {answer.status}")
        return answer.status == 200


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(pipe, topic, changes, rate):
    """{"Kafka": (p50, p99), …} in ms."""
    watches = [Kafka(topic, changes), Sqlite(pipe.sqlite_path, changes), Redis(changes),
               Elasticsearch(changes)]
    time.sleep(3)  # kcat has found the end of the topic
    for watch in watches:
        watch.start()
    committed = {}
    link = tr.connect()
    with link.cursor() as cursor:
        begin = time.monotonic()
        for number in range(1, changes + 1):
            wait = begin + number / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            cursor.execute("INSERT INTO bench.latency VALUES (%s, 'measured')", (number,))
            committed[number] = time.monotonic()
    result = {}
    for watch in watches:
        watch.join(60)
        if watch.failed is not None or len(watch.seen) < changes:
            raise SystemExit(f"{watch.name}: saw {len(watch.seen)} of {changes} rows "
                             f"({watch.failed})")
        late = [max(0.0, watch.seen[number] - committed[number]) * 1000 for number in committed]
        result[watch.name] = (percentile(late, 0.5), percentile(late, 0.99))
    return result
