#!/usr/bin/python3
"""The comparer sees what it must see.

Fills MariaDB with a table of every supported type and some tables with odd keys, fills each store
by this program alone in the documented format, and runs tests/compare/compare.py as a user would:
equal stores give 0; one damaged, one missing and one extra row per store give 7 and are named.
tailrace itself is not involved. Uses the servers of $TAILRACE_STACK_DIR, else starts its own.
"""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

import pymysql

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "stack"))

from stack import Stack  # noqa: E402

DB = "comparer_test"
STORES = ("sqlite", "redis", "elasticsearch")

DDL = [
    "CREATE TABLE kinds (id BIGINT UNSIGNED PRIMARY KEY, i INT, d DECIMAL(20,4), f FLOAT,"
    " dd DOUBLE, s VARCHAR(100), l VARCHAR(20) CHARACTER SET latin1, c CHAR(5), vb VARBINARY(20),"
    " bf BINARY(4), da DATE, t TIME(3), dt DATETIME(6), ts TIMESTAMP(2) NULL, y YEAR, b BIT(9),"
    " e ENUM('x','y z'), st SET('a','b','c'), j JSON)",
    "CREATE TABLE pairs (a VARCHAR(20), b INT, v INT, PRIMARY KEY (a, b))",
    "CREATE TABLE uniq (n VARCHAR(20) NOT NULL, v INT, UNIQUE (n))",
]

# Per row: the SQL values, and the row as the event's JSON has it.
KINDS = [
    ("18446744073709551615, -2147483648, '12.5000', 0.1, 1e300, 'h\u00e9 \U0001f600:%',"
     " 'caf\u00e9', 'ab', x'00ff10', x'6162', '0000-00-00',"
     " '-838:59:59.125', '2024-02-29 23:59:59.000001',"
     " '2038-01-19 03:14:07.99', 1901, b'100000001', 'y z', 'a,c',"
     " '{\"b\": [1, 2.50, null], \"a\": \"x\"}'",
     '{"id":18446744073709551615,"i":-2147483648,"d":12.5000,"f":0.1,"dd":1e300,'
     '"s":"h\u00e9 \U0001f600:%","l":"caf\u00e9","c":"ab","vb":"AP8Q","bf":"YWIAAA==",'
     '"da":"0000-00-00","t":"-838:59:59.125","dt":"2024-02-29 23:59:59.000001",'
     '"ts":"2038-01-19 03:14:07.99","y":1901,"b":257,"e":"y z","st":["a","c"],'
     '"j":{"b":[1,2.50,null],"a":"x"}}'),
    ("2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
     " NULL, NULL, NULL",
     '{"id":2,"i":null,"d":null,"f":null,"dd":null,"s":null,"l":null,"c":null,"vb":null,"bf":null,'
     '"da":null,"t":null,"dt":null,"ts":null,"y":null,"b":null,"e":null,"st":null,"j":null}'),
    ("3, 0, '-0.0001', 16777216, 0.1, '', '', '', '', '', '2024-00-10', '00:00:00',"
     " '1000-01-01 00:00:00', '1970-01-01 00:00:01', 2000, b'0', 'x', '', '[]'",
     '{"id":3,"i":0,"d":-0.0001,"f":16777216,"dd":0.1,"s":"","l":"","c":"","vb":"",'
     '"bf":"AAAAAA==","da":"2024-00-10","t":"00:00:00.000","dt":"1000-01-01 00:00:00.000000",'
     '"ts":"1970-01-01 00:00:01.00","y":2000,"b":0,"e":"x","st":[],"j":[]}'),
]
PAIRS = [
    ("'a:b', 1, 10", '{"a":"a:b","b":1,"v":10}', "a%3Ab:1", '["a:b",1]'),
    ("'a', 2, 20", '{"a":"a","b":2,"v":20}', "a:2", '["a",2]'),
    ("'50%', 3, 30", '{"a":"50%","b":3,"v":30}', "50%25:3", '["50%",3]'),
]
UNIQ = [("'one', 1", '{"n":"one","v":1}'), ("'two', 2", '{"n":"two","v":2}')]


class ComparerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory(prefix="tailrace-comparer-", dir="/var/tmp")
        # The servers run as users of their own and must be able to pass.
        Path(cls.temp.name).chmod(0o711)
        given = os.environ.get("TAILRACE_STACK_DIR")
        cls.own = given is None
        cls.stack = Stack(given or cls.temp.name + "/stack")
        cls.places = cls.stack.up(["mariadb", "redis", "elasticsearch"])
        cls.link = pymysql.connect(
            host="127.0.0.1", port=int(cls.places["MARIADB_PORT"]), user="root", autocommit=True,
            charset="utf8mb4", init_command="SET time_zone='+00:00', sql_mode=''")
        cls.sqlite = cls.temp.name + "/read.db"

    @classmethod
    def tearDownClass(cls):
        cls.sql(f"DROP DATABASE IF EXISTS {DB}")
        cls.clear()
        cls.link.close()
        if cls.own:
            cls.stack.down(remove=True)
        cls.temp.cleanup()

    def setUp(self):
        self.clear()
        self.sql(f"DROP DATABASE IF EXISTS {DB}", f"CREATE DATABASE {DB}", f"USE {DB}", *DDL)
        self.sql(*[f"INSERT INTO kinds VALUES ({values})" for values, _ in KINDS],
                 *[f"INSERT INTO pairs VALUES ({row[0]})" for row in PAIRS],
                 *[f"INSERT INTO uniq VALUES ({values})" for values, _ in UNIQ])
        self.fill_redis()
        self.fill_elasticsearch()
        self.fill_sqlite()

    # --- clients

    @classmethod
    def sql(cls, *statements):
        with cls.link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @classmethod
    def redis(cls, *words):
        done = subprocess.run(["redis-cli", "-p", cls.places["REDIS_PORT"], *words],
                              capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    @classmethod
    def http(cls, method, path, body=None):
        request = urllib.request.Request(
            cls.places["ELASTICSEARCH_URL"] + path, method=method,
            data=None if body is None else body.encode(),
            headers={"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.load(answer)

    @classmethod
    def clear(cls):
        for key in cls.redis("--scan", "--pattern", f"{DB}:*").split():
            cls.redis("DEL", key)
        names = [one["index"] for one in cls.http("GET", f"/_cat/indices/{DB}.*?format=json")]
        for name in names:
            cls.http("DELETE", f"/{name}")
        for path in Path(cls.temp.name).glob("read.db*"):
            path.unlink()

    # --- the three stores, filled in the documented format

    @staticmethod
    def documents():
        """Per row: table, Redis key suffix, document id, JSON."""
        rows = [("kinds", key, key, text) for (_, text), key in
                zip(KINDS, ("18446744073709551615", "2", "3"))]
        rows += [("pairs", suffix, ident, text) for _, text, suffix, ident in PAIRS]
        rows += [("uniq", json.loads(text)["n"], json.loads(text)["n"], text) for _, text in UNIQ]
        return rows

    def fill_redis(self):
        for table, suffix, _, text in self.documents():
            self.redis("SET", f"{DB}:{table}:{suffix}", text)

    def fill_elasticsearch(self):
        for table in ("kinds", "pairs", "uniq"):
            self.http("PUT", f"/{DB}.{table}.g1", json.dumps({
                "settings": {"number_of_replicas": 0}, "mappings": {"enabled": False},
                "aliases": {f"{DB}.{table}": {}}}))
        lines = []
        for table, _, ident, text in self.documents():
            lines += [json.dumps({"index": {"_index": f"{DB}.{table}", "_id": ident}}), text]
        self.assertFalse(self.http("POST", "/_bulk", "\n".join(lines) + "\n")["errors"])

    def fill_sqlite(self):
        texts = {"id", "d", "s", "l", "c", "da", "t", "dt", "ts", "e", "a", "n"}
        with sqlite3.connect(self.sqlite) as link:
            for table, _, _, text in self.documents():
                row = json.loads(text, parse_float=str)
                # One primary key would do for the comparer; the columns have no types on purpose.
                names = ", ".join(f'"{name}"' for name in row)
                link.execute(f"CREATE TABLE IF NOT EXISTS {table} ({names}, _version)")
                values = [self.sqlite_value(table, name, value, texts)
                          for name, value in row.items()]
                marks = ", ".join("?" * (len(values) + 1))
                link.execute(f"INSERT INTO {table} VALUES ({marks})", [*values, 5])
            link.execute("CREATE TABLE _tailrace_store (x)")
        link.close()

    @staticmethod
    def sqlite_value(table, name, value, texts):
        if value is None or table != "kinds":
            return value
        if name in ("vb", "bf"):
            return base64.b64decode(value)
        if name in ("f", "dd"):
            return float(value)
        if name == "st":
            return json.dumps(value)
        if name == "j":
            # The number's text 2.50 must survive, which json.dumps of a float would not do.
            return json.dumps(value).replace('"2.50"', "2.50")
        return str(value) if name in texts else value

    # --- what the comparer says

    def compare(self, *more, stores=STORES):
        done = subprocess.run(
            ["/usr/bin/python3", str(ROOT / "tests" / "compare" / "compare.py"), "--endpoints",
             str(self.stack.folder / "endpoints.env"), "--database", DB, "--stores",
             ",".join(stores), "--sqlite", self.sqlite, *more],
            capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def assert_difference(self, store, words):
        """Only `store` differs, and the output has the words."""
        status, text = self.compare(stores=(store,))
        self.assertEqual(status, 7, text)
        for word in words:
            self.assertIn(word, text)
        others = [one for one in STORES if one != store]
        status, text = self.compare(stores=others)
        self.assertEqual(status, 0, text)

    def test_equal(self):
        status, text = self.compare()
        self.assertEqual(status, 0, text)
        self.assertIn("equal: 9 comparisons, 24 rows", text)

    def test_damaged_redis_row(self):
        damaged = KINDS[0][1].replace("12.5000", "12.5")
        self.redis("SET", f"{DB}:kinds:18446744073709551615", damaged)
        self.assert_difference("redis", ["column d", "18446744073709551615"])

    def test_damaged_json_number_in_redis(self):
        damaged = KINDS[0][1].replace(",2.50,", ",2.5,")
        self.redis("SET", f"{DB}:kinds:18446744073709551615", damaged)
        self.assert_difference("redis", ["column j"])

    def test_number_as_string_in_redis(self):
        self.redis("SET", f"{DB}:pairs:a:2", '{"a":"a","b":2,"v":"20"}')
        self.assert_difference("redis", ["column v"])

    def test_missing_and_extra_redis_row(self):
        self.redis("RENAME", f"{DB}:pairs:a:2", f"{DB}:pairs:a:4")
        self.assert_difference("redis", ["extra row", "missing row", f"{DB}:pairs:a:4"])

    def test_damaged_elasticsearch_row(self):
        self.http("PUT", f"/{DB}.uniq/_doc/one", '{"n":"one","v":7}')
        self.assert_difference("elasticsearch", ["row one", "column v"])

    def test_missing_and_extra_elasticsearch_row(self):
        self.http("DELETE", f"/{DB}.uniq/_doc/one")
        self.http("PUT", f"/{DB}.uniq/_doc/three", '{"n":"three","v":7}')
        self.assert_difference("elasticsearch", ["missing row one", "extra row three"])

    def test_damaged_sqlite_row(self):
        self.sqlite_do("UPDATE kinds SET vb = x'00ff11' WHERE vb = x'00ff10'")
        self.assert_difference("sqlite", ["column vb", "18446744073709551615"])

    def test_wrong_type_in_sqlite(self):
        self.sqlite_do("UPDATE pairs SET v = '20' WHERE b = 2")
        self.assert_difference("sqlite", ["column v"])

    def test_missing_and_extra_sqlite_row(self):
        self.sqlite_do("UPDATE pairs SET b = 9 WHERE b = 2")
        self.assert_difference("sqlite", ["extra row ('a', 9)", "missing row ('a', 2)"])

    def test_rows_of_a_dropped_table(self):
        self.sql("DROP TABLE uniq")
        for store in STORES:
            status, text = self.compare(stores=(store,))
            self.assertEqual(status, 7, text)
            self.assertIn("2 rows of a table that the source has not", text)

    def test_added_column_reads_as_null(self):
        self.sql("ALTER TABLE uniq ADD COLUMN w INT")
        status, text = self.compare()
        self.assertEqual(status, 0, text)
        self.sql("UPDATE uniq SET w = 1 WHERE n = 'one'")
        for store in STORES:
            status, text = self.compare(stores=(store,))
            self.assertEqual(status, 7, text)
            self.assertIn("column w", text)

    def sqlite_do(self, statement):
        link = sqlite3.connect(self.sqlite)
        with link:
            self.assertEqual(link.execute(statement).rowcount, 1)
        link.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
