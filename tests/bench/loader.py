"""The reference of the Elasticsearch consumer: a bulk loader with versions, and nothing else.

All bodies are made before the clock starts; two connections send them. A node that was just started
is several times slower than the same node a minute later: warm it first, and measure what is to be
compared between two runs of the loader.
"""

import contextlib
import http.client
import json
import threading
import time
import types
import urllib.parse

SETTINGS = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0, "index.gc_deletes": "1d"},
    "mappings": {"dynamic": "strict", "properties": {
        "id": {"type": "long"}, "k": {"type": "long"},
        "c": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
        "pad": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}}},
}


def digits(number, groups):
    """Text as sysbench makes it: groups of 11 digits."""
    state = number * 2862933555777941757 + 3037000493
    parts = []
    for _ in range(groups):
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        parts.append(f"{state % 100000000000:011d}")
    return "-".join(parts)


INDEX = "bare"
ROUNDS_MAX = 12
ALIKE = 0.07  # runs of a warm node
IDLE_WAIT_S = 120


def bodies(rows, limit):
    """Bulk bodies of about `limit` bytes."""
    made, body, size = [], [], 0
    for number in range(1, rows + 1):
        line = (f'{{"index":{{"_index":"{INDEX}","_id":"{number}","version":{number},'
                '"version_type":"external_gte"}}\n'
                f'{{"id":{number},"k":{number * 7 % 1000003},"c":"{digits(number, 10)}",'
                f'"pad":"{digits(number + 5, 5)}"}}\n')
        body.append(line)
        size += len(line)
        if size >= limit:
            made.append("".join(body).encode())
            body, size = [], 0
    if body:
        made.append("".join(body).encode())
    return made


def request(link, method, path, body):
    link.request(method, path, body, {"Content-Type": "application/json"})
    answer = link.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"elasticsearch: {method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text)


class Loader:
    """Loads the same rows as often as it is asked to, each time into a new index."""

    def __init__(self, url, rows, limit):
        self.place = urllib.parse.urlparse(url)
        self.rows = rows
        self.bodies = bodies(rows, limit)

    def connect(self):
        return http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=120)

    def warm(self):
        """Runs until three runs in a row are alike; False when they never were."""
        rates = [self.run(), self.run()]
        for _ in range(ROUNDS_MAX):
            rates.append(self.run())
            if max(rates[-3:]) - min(rates[-3:]) <= ALIKE * rates[-1]:
                return True
        return False

    def stats(self, path):
        """Of the only node."""
        answer = request(self.connect(), "GET", f"/_nodes/stats/{path}", None)
        return next(iter(answer["nodes"].values()))

    def wait_idle(self):
        """Until nothing is merged or written any more: what an index before this one left to do."""
        end = time.monotonic() + IDLE_WAIT_S
        while time.monotonic() < end:
            node = self.stats("indices,thread_pool")
            if (node["indices"]["merges"]["current"] == 0 and
                    node["thread_pool"]["write"]["active"] == 0):
                return
            time.sleep(0.2)
        raise SystemExit("elasticsearch: the node does not come to rest")

    @contextlib.contextmanager
    def cpu(self):
        """The server's CPU time within, as `seconds` of what is given."""
        used = types.SimpleNamespace(seconds=0.0)
        before = self.stats("process")["process"]["cpu"]["total_in_millis"]
        yield used
        used.seconds = (self.stats("process")["process"]["cpu"]["total_in_millis"] - before) / 1000

    def run(self):
        """Rows a second."""
        make = self.connect()
        request(make, "PUT", f"/{INDEX}", json.dumps(SETTINGS))
        waiting = list(reversed(self.bodies))
        failed = []
        threads = [threading.Thread(target=self.send, args=(waiting, failed)) for _ in range(2)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - start
        if failed or waiting:
            raise SystemExit("elasticsearch: the bare loader had refused items")
        request(make, "DELETE", f"/{INDEX}", None)
        return self.rows / seconds

    def send(self, waiting, failed):
        link = self.connect()
        while True:
            try:
                body = waiting.pop()
            except IndexError:
                return
            answer = request(link, "POST", "/_bulk?filter_path=errors", body)
            if answer["errors"]:
                failed.append(INDEX)
