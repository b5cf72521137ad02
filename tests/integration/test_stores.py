"""SQLite and Redis end to end: types, keys, changed tables, markers, refused values."""

import json
import sqlite3
import sys
from pathlib import Path

import tr

sys.path.insert(0, str(Path(__file__).resolve().parent / "fake"))

import hand  # noqa: E402

BOTH = ["sqlite", "redis"]
GOOD_ROWS = 1000
CHANGES = 100
MIB = 1 << 20
PARTITIONS = 4


class Stores(tr.Case):
    def begin(self, *statements, stores=None):
        pipe = self.pipeline(stores=stores or BOTH)
        start = tr.head()
        shop = pipe.database("shop")
        tr.sql(*[one.format(db=shop) for one in statements])
        pipe.start_all(f"{start[0]}:{start[1]}")
        return pipe, shop

    def rows(self, pipe, query):
        link = sqlite3.connect(f"file:{pipe.sqlite_path}?mode=ro", uri=True)
        try:
            return link.execute(query).fetchall()
        finally:
            link.close()

    def test_every_type_and_changed_columns(self):
        pipe, shop = self.begin(
            "CREATE TABLE {db}.t (id BIGINT UNSIGNED PRIMARY KEY, s VARCHAR(300), x TEXT,"
            " d DECIMAL(20,6), f FLOAT, g DOUBLE, b BLOB, e ENUM('a','b'), z SET('p','q'),"
            " dt DATETIME(6), da DATE, ti TIME(2), j JSON, n INT, bi BIT(64), y YEAR,"
            " la VARCHAR(20) CHARACTER SET latin1, jn JSON NOT NULL DEFAULT 'null')",
            "INSERT INTO {db}.t VALUES (18446744073709551615, 'ä\\n\"', REPEAT('x', 60000),"
            " -12345678901234.5, 1.5e-30, 1e300, x'00ff', 'b', 'p,q', '2024-02-29 01:02:03.456789',"
            " '9999-12-31', '-838:59:59.00', '{{\"a\": [1, {{\"b\": null}}]}}', -1, b'1', 2024,"
            " '€ß', '[null]')",
            "SET sql_mode=''", "INSERT INTO {db}.t (id, dt, da) VALUES (1, 0, '2024-00-00')")
        pipe.assert_equal()
        self.assertEqual(self.rows(pipe, "SELECT jn FROM t WHERE id = '1'"), [("null",)])
        tr.sql(f"ALTER TABLE {shop}.t ADD COLUMN added DATETIME(3)",
               f"INSERT INTO {shop}.t (id, added) VALUES (2, '2024-01-02 03:04:05.678')",
               f"UPDATE {shop}.t SET n = 5 WHERE id = 1")
        pipe.assert_equal()
        self.assertEqual(self.rows(pipe, "SELECT added FROM t WHERE id = '2'"),
                         [("2024-01-02 03:04:05.678",)])
        tr.sql(f"ALTER TABLE {shop}.t DROP COLUMN x",
               f"UPDATE {shop}.t SET n = 6")
        pipe.assert_equal()
        self.assertEqual(set(self.rows(pipe, "SELECT x FROM t")), {(None,)})
        tr.sql(f"ALTER TABLE {shop}.t ADD COLUMN front INT FIRST",
               f"UPDATE {shop}.t SET front = 7 WHERE id = 1", f"DELETE FROM {shop}.t WHERE id = 2")
        pipe.assert_equal()

    def test_redis_gives_exactly_the_rows_json(self):
        pipe, shop = self.begin(
            "CREATE TABLE {db}.t (id INT PRIMARY KEY, d DECIMAL(9,3), j JSON, s TEXT)",
            "INSERT INTO {db}.t VALUES (1, 1.5, '{{\"a\" : [ 1 ]}}', 'ä\"')", stores=["redis"])
        pipe.assert_equal()
        self.assertEqual(tr.redis("get", f"{shop}:t:1"),
                         '{"id":1,"d":1.500,"j":{"a":[1]},"s":"ä\\""}')
        version = tr.redis("get", f"tailrace:v:{{{shop}:t:1}}")
        self.assertRegex(version, r"^[0-9]{16}$")
        tr.sql(f"DELETE FROM {shop}.t")
        tr.wait_until(lambda: tr.redis("get", f"{shop}:t:1") == "", "the delete")
        self.assertRegex(tr.redis("get", f"tailrace:v:{{{shop}:t:1}}"), r"^[0-9]{16}d$")

    def test_set_and_delete_of_one_key_in_one_batch(self):
        pipe, shop = self.begin("CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(20))",
                                "INSERT INTO {db}.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        pipe.assert_equal()
        for program in pipe.consumers():
            program.stop()
        tr.sql(*[f"UPDATE {shop}.t SET v='{turn}' WHERE id<>2" for turn in range(CHANGES)],
               f"INSERT INTO {shop}.t VALUES (10, 'new')", f"DELETE FROM {shop}.t WHERE id=10",
               f"DELETE FROM {shop}.t WHERE id=1", f"INSERT INTO {shop}.t VALUES (1, 'again')",
               f"UPDATE {shop}.t SET v='x' WHERE id=2", f"DELETE FROM {shop}.t WHERE id=2",
               f"UPDATE {shop}.t SET id=4 WHERE id=3", f"UPDATE {shop}.t SET id=3 WHERE id=4")
        pipe.wait_captured()
        for program in pipe.consumers():
            program.start()
        pipe.assert_equal()
        self.assertEqual(self.rows(pipe, "SELECT id, v FROM t ORDER BY id"),
                         [(1, "again"), (3, str(CHANGES - 1))])
        for program in pipe.consumers():
            # Far more than the five tombstones: the changes of a key did share batches.
            status = tr.assert_settled(program)
            self.assertGreater(tr.total(status, "superseded"), CHANGES, program.name)

    def test_markers_and_their_floors(self):
        pipe, shop = self.begin("CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(20))",
                                "CREATE TABLE {db}.u (id INT PRIMARY KEY, v VARCHAR(20))")
        for table, count in (("t", 5000), ("u", 500)):
            tr.insert_many(f"{shop}.{table}", [(i, str(i)) for i in range(count)])
        pipe.assert_equal()
        tr.sql(f"TRUNCATE TABLE {shop}.t", f"INSERT INTO {shop}.t VALUES (7, 'after')",
               f"DROP TABLE {shop}.u")
        pipe.wait_caught_up()
        pipe.assert_equal()
        counts = "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"
        self.assertEqual(self.rows(pipe, counts),
                         [(1, 0)])
        for program in pipe.consumers():
            program.stop()
            done = program.run("reset", "--to", "beginning", "--execute")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            program.start()
        pipe.wait_caught_up()
        pipe.assert_equal()
        for program in pipe.consumers():
            self.assertGreaterEqual(tr.total(program.status(), "stale"), 1, program.name)

    def test_composite_and_odd_keys_stay_distinct(self):
        pipe, shop = self.begin(
            "CREATE TABLE {db}.pair (a VARCHAR(40) COLLATE utf8mb4_bin, b INT,"
            " c VARCHAR(40) COLLATE utf8mb4_bin, v INT, PRIMARY KEY (c, a, b))",
            "CREATE TABLE {db}.single (k VARCHAR(100) COLLATE utf8mb4_bin PRIMARY KEY, v INT)",
            "CREATE TABLE {db}.bytes (k VARBINARY(20) PRIMARY KEY, v INT)",
            "CREATE TABLE {db}.`odd \"name` (`a b` INT PRIMARY KEY, `x\"y` INT)",
            "INSERT INTO {db}.`odd \"name` VALUES (1, 2)")
        odd = ["a", "A", "a,b", "a\"b", "a\\b", "a/b?c#d%e", "ä", "日本", "🙂", "\n\t", "a:b", "{}",
               "[1]", "null", "1", "01", " x", "%25", "%3A", "\x7f", "'", "*", "a*", "?"]
        tr.insert_many(f"{shop}.single", [(key, n) for n, key in enumerate(odd)])
        tr.insert_many(f"{shop}.pair", [(a, n, c, 1) for n, a in enumerate(odd) for c in odd])
        tr.insert_many(f"{shop}.bytes", [(bytes([n, 255 - n]), n) for n in range(200)])
        pipe.assert_equal()
        tr.sql(f"DELETE FROM {shop}.pair WHERE v=1 AND b % 2 = 0",
               f"DELETE FROM {shop}.single WHERE v % 2 = 0", f"UPDATE {shop}.bytes SET v = -v",
               f"UPDATE {shop}.single SET k = 'B' WHERE k = 'a,b'")
        pipe.assert_equal()

    def test_a_set_of_another_character_set_as_key(self):
        """Its values come as base64, in a row and in a delete's key."""
        pipe, shop = self.begin(
            "CREATE TABLE {db}.t (s SET('a','č') CHARACTER SET latin2 PRIMARY KEY, v INT)",
            "INSERT INTO {db}.t VALUES ('a', 1), ('č', 2), ('a,č', 3), ('', 4)", stores=["sqlite"])
        rows = "SELECT s FROM t ORDER BY v"
        program = pipe["sqlite"]
        program.wait_status(lambda one: tr.total(one, "applied") == 4, "the rows")
        self.assertEqual(self.rows(pipe, rows), [("AQ==",), ("Ag==",), ("Aw==",), ("[]",)])
        tr.sql(f"DELETE FROM {shop}.t WHERE v <> 2")
        program.wait_status(lambda one: tr.total(one, "applied") == 7, "the deletes")
        self.assertEqual(self.rows(pipe, rows), [("Ag==",)])

    def refused(self, pipe, store, key):
        """One record of all went to the dead letters; all others were applied."""
        program = pipe[store]
        program.wait_status(
            lambda one: tr.total(one, "applied") + tr.total(one, "dead") == GOOD_ROWS,
            "all rows", 60)
        self.assertEqual(tr.total(program.status(), "dead"), 1)
        letters = pipe.dead_letters(store)
        self.assertEqual([json.loads(one)["pk.id"] for one, _ in letters], [key])
        for name in ("topic", "partition", "offset", "version", "class", "reason", "consumer",
                     "time"):
            self.assertIn(f"tailrace-{name}=", letters[0][1])

    def test_a_value_that_sqlite_refuses(self):
        """People may index the read model; a unique index of theirs refuses a row."""
        pipe, shop = self.begin("CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(20))",
                                "INSERT INTO {db}.t VALUES (0, '0')", stores=["sqlite"])
        pipe.assert_equal()
        link = sqlite3.connect(pipe.sqlite_path, timeout=30)
        link.execute("CREATE UNIQUE INDEX people_want_this ON t(v)")
        link.close()
        tr.insert_many(f"{shop}.t", [(i, "0" if i == 500 else str(i)) for i in range(1, GOOD_ROWS)])
        self.refused(pipe, "sqlite", 500)
        tr.sql(f"UPDATE {shop}.t SET v = '500' WHERE id = 500")
        pipe.assert_equal()

    def test_a_value_that_redis_refuses(self):
        """Somebody left a list where a row's version goes."""
        pipe, shop = self.begin("CREATE TABLE {db}.t (id INT PRIMARY KEY, v LONGTEXT)",
                                "INSERT INTO {db}.t VALUES (0, '0')", stores=["redis"])
        pipe.assert_equal()
        tr.redis("rpush", f"tailrace:v:{{{shop}:t:500}}", "somebody wrote a list here")
        tr.insert_many(f"{shop}.t", [(i, str(i)) for i in range(1, GOOD_ROWS)])
        self.refused(pipe, "redis", 500)
        tr.redis("del", f"tailrace:v:{{{shop}:t:500}}")
        tr.sql(f"UPDATE {shop}.t SET v = 'x' WHERE id = 500")
        pipe.assert_equal()

    def test_a_value_that_is_too_large_for_redis(self):
        """A server that takes values of 1 MiB; a row of one more, among a thousand good ones."""
        limit = tr.redis("config", "get", "proto-max-bulk-len").split()[1]
        self.addCleanup(tr.redis, "config", "set", "proto-max-bulk-len", limit)
        tr.redis("config", "set", "proto-max-bulk-len", str(MIB))
        pipe = self.pipeline(stores=["redis"])
        shop = pipe.database("shop")
        kafka = hand.Kafka(tr.places()["KAFKA_BOOTSTRAP"])
        kafka.create(f"db.{shop}", PARTITIONS, max_message_bytes=4 * MIB)
        kafka.close()
        tr.sql(f"CREATE TABLE {shop}.t (id INT PRIMARY KEY, v LONGTEXT)")
        tr.insert_many(f"{shop}.t", [(i, "x" * (MIB + 1) if i == 500 else str(i))
                                     for i in range(GOOD_ROWS)])
        pipe.start_all()
        self.refused(pipe, "redis", 500)
        self.assertIn("proto-max-bulk-len", pipe.dead_letters("redis")[0][1])
        tr.sql(f"UPDATE {shop}.t SET v = REPEAT('y', 1000000) WHERE id = 500")
        pipe.assert_equal()

    def test_an_evicting_redis_is_refused_by_check(self):
        pipe, _ = self.begin("CREATE TABLE {db}.t (id INT PRIMARY KEY)", stores=["redis"])
        pipe.wait_captured()
        tr.redis("config", "set", "maxmemory-policy", "allkeys-lru")
        try:
            done = pipe["redis"].run("check")
        finally:
            tr.redis("config", "set", "maxmemory-policy", "noeviction")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("maxmemory-policy", done.stderr)


if __name__ == "__main__":
    tr.main()
