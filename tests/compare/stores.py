"""What the stores hold, each read by a client of its own, in a form that can be compared.

Part of the comparer. A store gives for a table the key under which each source row should be
found (`key`) and everything that it holds (`rows`: pairs of such a key and the stored row), and
says how a stored row differs from a source row (`difference`). `strangers` tells of tables which
the store has and the source does not.
"""

import base64
import http.client
import json
import re
import socket
import sqlite3
import urllib.parse

from source import Members, Number, parse_json

TIMEOUT_S = 60


def quoted(name):
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


class StoreError(Exception):
    """The store cannot be read."""


def brief(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def key_text(value, kind):
    """A key value as the text that stands in a Redis key or an Elasticsearch id."""
    if kind == "binary":
        return base64.b64encode(value).decode()
    return str(value)


def same_in_json(kind, wanted, got):
    """Whether the JSON value `got` is the source's value."""
    if wanted is None or got is None:
        return wanted is got
    if kind in ("int", "big"):
        return type(got) is Number and got == str(wanted)
    if kind == "decimal":
        return type(got) is Number and got == wanted
    if kind == "float":
        return type(got) is Number and float(got) == wanted
    if isinstance(wanted, bytes):
        return type(got) is str and got == base64.b64encode(wanted).decode()
    # Equal text is not enough: a number's text must not pass for a string.
    return type(got) is type(wanted) and got == wanted and same_types(wanted, got)


def same_types(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_types, one, other))
    return True


class JsonRows:
    """What Redis and Elasticsearch have in common: a row is a JSON object."""

    def difference(self, table, wanted, got):
        """The first column that differs as text, or None."""
        if type(got) is not Members:
            return f"is no JSON object: {brief(got)}"
        members = dict(got)
        if len(members) != len(got):
            return "a member stands there twice"
        for column, value in zip(table.columns, wanted):
            # A row written before its column was added lacks the member; that reads as null.
            stored = members.pop(column.name, None)
            if not same_in_json(column.kind, value, stored):
                return f"column {column.name}: source {brief(value)}, store {brief(stored)}"
        if members:
            return f"columns that the source has not: {', '.join(sorted(members))}"
        return self.order_difference(table, got)

    def order_difference(self, table, got):
        names = [name for name, _ in got]
        stored = set(names)
        if names != [column.name for column in table.columns if column.name in stored]:
            return "members are not in column order"
        return None


class Redis(JsonRows):
    name = "redis"
    READ_KEYS = 2000

    def __init__(self, url, templates):
        parts = urllib.parse.urlsplit(url)
        self.templates = templates
        try:
            self.sock = socket.create_connection((parts.hostname, parts.port or 6379), TIMEOUT_S)
        except OSError as error:
            raise StoreError(f"redis at {url}: {error}") from error
        self.input = self.sock.makefile("rb", buffering=1 << 20)
        if parts.password:
            user = [parts.username] if parts.username else []
            self.call("AUTH", *user, parts.password)
        self.call("SELECT", (parts.path or "/0").strip("/") or "0")
        self.keys = []

    def call(self, *words):
        self.send(words)
        return self.answer()

    def send(self, words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            out.append(b"$%d\r\n%b\r\n" % (len(data), data))
        self.sock.sendall(b"".join(out))

    def answer(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise StoreError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise StoreError(f"redis says: {rest.decode()}")
        if kind == b"$":
            return None if rest == b"-1" else self.input.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def refresh(self):
        """Reads all names once per comparison; the tables share them."""
        found, cursor = set(), b"0"
        while True:
            cursor, part = self.call("SCAN", cursor, "COUNT", 10000)
            found.update(part)
            if cursor == b"0":
                break
        self.keys = [key.decode("utf-8", "surrogateescape") for key in found
                     if not key.startswith(b"tailrace:")]

    def template(self, table):
        return self.templates.get(table.full_name, "{database}:{table}:{pk}")

    def fill(self, table, values):
        """The table's template with `values(name)` in its placeholders."""
        out = []
        for part in re.split(r"(\{\{|\}\}|\{[^{}]+\})", self.template(table)):
            if part in ("{{", "}}"):
                out.append((part[0], False))
            elif part.startswith("{"):
                out.append((values(part[1:-1]), True))
            else:
                out.append((part, False))
        return out

    def key(self, table, row):
        texts = {table.columns[place].name: key_text(row[place], table.columns[place].kind)
                 for place in table.positions}
        texts.setdefault("database", table.database)
        texts.setdefault("table", table.name)
        if len(table.key) == 1:
            texts.setdefault("pk", texts[table.key[0]])
        parts = self.fill(table, lambda name: texts.get(name) if name != "pk" or name in texts
                          else [texts[one] for one in table.key])
        several = sum(filled for _, filled in parts) > 1
        return "".join(self.place(text, filled and several) for text, filled in parts)

    @classmethod
    def place(cls, text, escape):
        if isinstance(text, list):
            return ":".join(cls.place(one, True) for one in text)
        return text.replace("%", "%25").replace(":", "%3A") if escape else text

    def pattern(self, table):
        """What a key of this table looks like."""
        fixed = {"database": table.database, "table": table.name}
        parts = self.fill(table, lambda name: fixed.get(name) if name not in table.key else None)
        several = sum(filled for _, filled in parts) > 1
        return re.compile("".join(
            ".*" if text is None else re.escape(self.place(text, filled and several))
            for text, filled in parts), re.DOTALL)

    def rows(self, table):
        match = self.pattern(table).fullmatch
        keys = [key for key in self.keys if match(key)]
        for first in range(0, len(keys), self.READ_KEYS):
            part = keys[first:first + self.READ_KEYS]
            names = [key.encode("utf-8", "surrogateescape") for key in part]
            for key, value in zip(part, self.call("MGET", *names)):
                if value is not None:
                    yield key, self.parse(value)

    @staticmethod
    def parse(value):
        try:
            return parse_json(value.decode())
        except ValueError:
            return value

    def strangers(self, database, tables):
        """Default-named keys of tables that are not there any more."""
        prefix = database.replace("%", "%25").replace(":", "%3A") + ":"
        if any(not self.template(table).startswith("{database}:{table}:") for table in tables):
            return {}
        known = {self.place(table.name, True) for table in tables}
        found = {}
        for key in self.keys:
            if key.startswith(prefix) and key.count(":") >= 2:
                name = key[len(prefix):].split(":", 1)[0]
                if name not in known:
                    found[name] = found.get(name, 0) + 1
        return found


class Elasticsearch(JsonRows):
    name = "elasticsearch"
    PAGE = 4000

    def __init__(self, url, indexes):
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self.indexes = indexes
        self.link = http.client.HTTPConnection(parts.hostname, parts.port or 9200, TIMEOUT_S)

    def call(self, method, path, body=None):
        """The status and the answer's JSON."""
        try:
            self.link.request(method, path, None if body is None else json.dumps(body),
                              {"Content-Type": "application/json"})
            answer = self.link.getresponse()
            return answer.status, parse_json(answer.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.link.close()
            raise StoreError(f"elasticsearch at {self.url}: {error}") from error

    def refresh(self):
        self.call("POST", "/_refresh")

    def index(self, table):
        name = self.indexes.get(table.full_name, table.full_name.lower())
        return urllib.parse.quote(name, safe="")

    def key(self, table, row):
        if len(table.key) == 1:
            place = table.positions[0]
            return key_text(row[place], table.columns[place].kind)
        return "[" + ",".join(self.id_part(row[place], table.columns[place].kind)
                              for place in table.positions) + "]"

    @staticmethod
    def id_part(value, kind):
        if kind in ("int", "big", "decimal"):
            return str(value)
        if kind == "float":
            return repr(value)
        return json.dumps(key_text(value, kind), ensure_ascii=False)

    def rows(self, table):
        status, answer = self.call("POST", f"/{self.index(table)}/_pit?keep_alive=2m")
        if status == 404:
            return
        if status != 200:
            raise StoreError(f"elasticsearch answers {status} for {table.full_name}: "
                             f"{brief(answer)}")
        pit = dict(answer)["id"]
        after = None
        while True:
            body = {"size": self.PAGE, "pit": {"id": pit, "keep_alive": "2m"},
                    "sort": ["_shard_doc"], "track_total_hits": False}
            if after:
                body["search_after"] = after
            status, answer = self.call("POST", "/_search", body)
            if status != 200:
                raise StoreError(f"elasticsearch search answers {status}: {brief(answer)}")
            hits = dict(dict(answer)["hits"])["hits"]
            for hit in map(dict, hits):
                yield hit["_id"], hit["_source"]
            if len(hits) < self.PAGE:
                break
            after = [int(one) for one in dict(hits[-1])["sort"]]
        self.call("DELETE", "/_pit", {"id": pit})

    def strangers(self, database, tables):
        """Aliases with the database's name in front that belong to no table, with documents."""
        known = {urllib.parse.unquote(self.index(table)) for table in tables}
        _, aliases = self.call("GET", "/_cat/aliases?format=json&h=alias")
        found = {}
        for name in {dict(one)["alias"] for one in aliases}:
            if name.startswith(database.lower() + ".") and name not in known:
                _, answer = self.call("GET", f"/{urllib.parse.quote(name, safe='')}/_count")
                count = int(dict(answer).get("count", 0))
                if count:
                    found[name] = count
        return found


class Sqlite:
    name = "sqlite"

    def __init__(self, path):
        self.path = path
        self.link = None

    def refresh(self):
        """Opens the file anew: the path is a link that may point to another file by now."""
        if self.link:
            self.link.close()
        uri = "file:" + urllib.parse.quote(str(self.path)) + "?mode=ro"
        try:
            self.link = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)
            self.names()
        except sqlite3.Error as error:
            raise StoreError(f"sqlite file {self.path}: {error}") from error

    def names(self):
        rows = self.link.execute("SELECT name FROM sqlite_master WHERE type='table'")
        return {name for (name,) in rows if not name.startswith(("_tailrace", "sqlite_"))}

    def table_name(self, table):
        """Several databases in one file are told apart by a prefix."""
        names, full = self.names(), f"{table.database}__{table.name}"
        return full if full in names else table.name if table.name in names else None

    def key(self, table, row):
        return tuple(self.stored(table.columns[place], row[place]) for place in table.positions)

    @staticmethod
    def stored(column, value):
        if value is not None and column.kind == "big":
            return str(value)
        return value

    def rows(self, table):
        name = self.table_name(table)
        if name is None:
            return
        cursor = self.link.execute('SELECT * FROM ' + quoted(name))
        names = [part[0] for part in cursor.description]
        missing = [one for one in table.key if one not in names]
        if missing:
            raise StoreError(f"sqlite table {name} has no column {missing[0]}")
        places = [names.index(one) for one in table.key]
        for row in cursor:
            yield tuple(row[place] for place in places), (names, row)

    def difference(self, table, wanted, got):
        members = dict(zip(*got))
        if type(members.pop("_version", None)) is not int:
            return "has no _version"
        for column, value in zip(table.columns, wanted):
            if column.name not in members and value is None:
                continue
            stored = members.pop(column.name, None)
            if not self.same(column, value, stored):
                return f"column {column.name}: source {brief(value)}, store {brief(stored)}"
        left = [name for name, value in members.items() if value is not None]
        if left:
            return f"columns that the source has not: {', '.join(left)}"
        return None

    def same(self, column, wanted, got):
        if wanted is None and column.kind == "json" and not column.nullable:
            # The document `null`: events tell it from NULL only where there can be no NULL.
            return type(got) is str and got == "null"
        if wanted is None or got is None:
            return wanted is got
        if column.kind == "set" or column.kind == "json" and not isinstance(wanted, bytes):
            return type(got) is str and self.same_document(wanted, got)
        if column.kind == "json":
            wanted = base64.b64encode(wanted).decode()
        wanted = self.stored(column, wanted)
        return type(got) is type(wanted) and got == wanted

    @staticmethod
    def same_document(wanted, got):
        try:
            parsed = parse_json(got)
        except ValueError:
            return False
        return parsed == wanted and same_types(wanted, parsed)

    def strangers(self, database, tables):
        """Tables of the file that the source has not, with rows."""
        known = {self.table_name(table) for table in tables}
        found = {}
        for name in self.names() - known:
            if "__" not in name or name.startswith(database + "__"):
                (count,) = self.link.execute('SELECT count(*) FROM ' + quoted(name)).fetchone()
                if count:
                    found[name] = count
        return found
