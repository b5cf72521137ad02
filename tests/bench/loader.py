"""The reference of the Elasticsearch consumer: a bulk loader with versions, and nothing else.

All bodies are made before the clock starts; two connections send them.
"""

import http.client
import json
import threading
import time
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


def bodies(index, rows, limit):
    """Bulk bodies of about `limit` bytes."""
    made, body, size = [], [], 0
    for number in range(1, rows + 1):
        line = (f'{{"index":{{"_index":"{index}","_id":"{number}","version":{number},'
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


def load(url, index, rows, limit):
    """Rows a second."""
    place = urllib.parse.urlparse(url)
    make = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
    request(make, "PUT", f"/{index}", json.dumps(SETTINGS))
    waiting = bodies(index, rows, limit)
    lock = threading.Lock()
    failed = []

    def work():
        link = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
        while True:
            with lock:
                if not waiting:
                    return
                body = waiting.pop()
            answer = request(link, "POST", "/_bulk?filter_path=errors", body)
            if answer["errors"]:
                failed.append(index)

    threads = [threading.Thread(target=work) for _ in range(2)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    if failed:
        raise SystemExit("elasticsearch: the bare loader had refused items")
    request(make, "DELETE", f"/{index}", None)
    return rows / seconds
