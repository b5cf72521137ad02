"""The Elasticsearch consumer, from a commit in MariaDB to the document in the index."""

import json
import time
import urllib.error

import tr
from writer import Writer

STORE = ["elasticsearch"]
GOOD_ROWS = 1000
CHANGES = 100
CATCH_UP_S = 240  # what was written while a cold server started
# A killed member is missed within seconds.
FAST_GROUPS = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000"}


def start_all(pipe, position):
    """From where the log stood: what other tests wrote to it before is nobody's business here."""
    pipe.start_all(start=f"{position[0]}:{position[1]}")


def document(index, key):
    """The row under an alias, or None."""
    try:
        return tr.elasticsearch("GET", f"/{index}/_doc/{key}")["_source"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def count(index):
    tr.elasticsearch("POST", f"/{index}/_refresh")
    return tr.elasticsearch("GET", f"/{index}/_count")["count"]


class Rows(tr.Case):
    """What arrives, and what does not."""

    def start(self, *statements, tables=None):
        """A pipeline with one database, in which `statements` ({db}) have run."""
        pipe = self.pipeline(stores=STORE)
        position = tr.head()
        shop = pipe.database("shop")
        if tables is not None:
            rules = [f"{pipe.name}_*.*", *[dict(one, table=f"{shop}.{one['table']}")
                                          for one in tables]]
            pipe.configure(elasticsearch={"tables": rules})
        tr.sql(*[one.format(db=shop) for one in statements])
        start_all(pipe, position)
        return pipe, shop

    def test_every_type_and_an_added_column(self):
        pipe, shop = self.start(
            "CREATE TABLE {db}.t (id BIGINT UNSIGNED PRIMARY KEY, s VARCHAR(300), x TEXT,"
            " d DECIMAL(20,6), f FLOAT, g DOUBLE, b BLOB, e ENUM('a','b'), z SET('p','q'),"
            " dt DATETIME(6), da DATE, ti TIME(2), j JSON, n INT, bi BIT(64), y YEAR)",
            "INSERT INTO {db}.t VALUES (18446744073709551615, 'ä\\n\"', REPEAT('x', 60000),"
            " -12345678901234.5, 1.5e-30, 1e300, x'00ff', 'b', 'p,q', '2024-02-29 01:02:03.456789',"
            " '9999-12-31', '-838:59:59.00', '{{\"a\": [1, {{\"b\": null}}]}}', -1, b'1', 2024)",
            "SET sql_mode=''", "INSERT INTO {db}.t (id, dt, da) VALUES (1, 0, '2024-00-00')")
        pipe.assert_equal()
        tr.sql(f"ALTER TABLE {shop}.t ADD COLUMN added DATETIME(3) NOT NULL DEFAULT '2020-01-01'",
               f"INSERT INTO {shop}.t (id, added) VALUES (2, '2024-01-02 03:04:05.678')",
               f"UPDATE {shop}.t SET n = 5 WHERE id = 1")
        row = tr.wait_until(lambda: document(f"{shop}.t", 2), "the row with the added column")
        self.assertEqual(row["added"], "2024-01-02 03:04:05.678")
        mapping = tr.elasticsearch("GET", f"/{shop}.t/_mapping")
        fields = next(iter(mapping.values()))["mappings"]["properties"]
        self.assertEqual(fields["added"]["type"], "date")

    def test_refused_values_go_to_dead_letters_and_nothing_else(self):
        pipe, shop = self.start(
            "CREATE TABLE {db}.t (id INT PRIMARY KEY, name TEXT, big BIGINT UNSIGNED,"
            " day VARCHAR(20))",
            tables=[{"table": "t", "fields": {
                "name": "keyword", "big": "long",
                "day": {"type": "date", "format": "uuuu-MM-dd"}}}])
        rows = [(i, f"name {i}", i, "2024-01-31") for i in range(GOOD_ROWS)]
        rows[100] = (100, "x" * 40000, 1, "2024-01-31")
        rows[200] = (200, "b", 2 ** 63, "2024-01-31")
        rows[300] = (300, "c", 3, "0000-00-00")
        tr.insert_many(f"{shop}.t", rows, "(id, name, big, day)")
        pipe["elasticsearch"].wait_status(
            lambda one: tr.total(one, "applied") + tr.total(one, "dead") == GOOD_ROWS, "all rows")
        self.assertEqual(count(f"{shop}.t"), GOOD_ROWS - 3)
        letters = pipe.dead_letters("elasticsearch")
        self.assertEqual(sorted(json.loads(key)["pk.id"] for key, _ in letters), [100, 200, 300])
        for _, headers in letters:
            self.assertIn("tailrace-reason=", headers)
            self.assertIn("failed to parse field", headers)
            self.assertNotIn("Preview", headers)
        # Put right, the rows arrive.
        tr.sql(f"UPDATE {shop}.t SET name='a', big=1, day='2024-02-01' WHERE id IN (100,200,300)")
        pipe.assert_equal()

    def test_an_older_good_change_is_applied_when_the_newest_is_refused(self):
        pipe, shop = self.start(
            "CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(50))",
            "INSERT INTO {db}.t VALUES (0, '0')",
            tables=[{"table": "t", "fields": {"v": "long"}}])
        pipe.assert_equal()
        pipe["elasticsearch"].stop()
        tr.sql(f"INSERT INTO {shop}.t VALUES (1, '10')", f"UPDATE {shop}.t SET v='11' WHERE id=1",
               f"UPDATE {shop}.t SET v='none' WHERE id=1")
        pipe["elasticsearch"].start()
        pipe["elasticsearch"].wait_status(lambda one: tr.total(one, "dead") == 1, "a dead letter")
        tr.wait_until(lambda: (document(f"{shop}.t", 1) or {}).get("v") == "11", "the older change")
        self.assertEqual(len(pipe.dead_letters("elasticsearch")), 1)

    def test_set_and_delete_of_one_key_in_one_batch(self):
        pipe, shop = self.start("CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(20))",
                                "INSERT INTO {db}.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        pipe.assert_equal()
        pipe["elasticsearch"].stop()
        tr.sql(*[f"UPDATE {shop}.t SET v='{turn}' WHERE id<>2" for turn in range(CHANGES)],
               f"INSERT INTO {shop}.t VALUES (10, 'new')", f"DELETE FROM {shop}.t WHERE id=10",
               f"DELETE FROM {shop}.t WHERE id=1", f"INSERT INTO {shop}.t VALUES (1, 'again')",
               f"UPDATE {shop}.t SET v='x' WHERE id=2", f"DELETE FROM {shop}.t WHERE id=2",
               f"UPDATE {shop}.t SET id=4 WHERE id=3", f"UPDATE {shop}.t SET id=3 WHERE id=4")
        pipe.wait_captured()
        pipe["elasticsearch"].start()
        pipe.assert_equal()
        self.assertEqual(document(f"{shop}.t", 1)["v"], "again")
        self.assertEqual(document(f"{shop}.t", 3)["v"], str(CHANGES - 1))
        self.assertIsNone(document(f"{shop}.t", 2))
        self.assertIsNone(document(f"{shop}.t", 10))
        # Far more than the five tombstones: the changes of a key did share batches.
        status = tr.assert_settled(pipe["elasticsearch"])
        self.assertGreater(tr.total(status, "superseded"), CHANGES)

    def test_truncate_and_drop(self):
        pipe, shop = self.start("CREATE TABLE {db}.t (id INT PRIMARY KEY, v VARCHAR(20))",
                                "CREATE TABLE {db}.u (id INT PRIMARY KEY, v VARCHAR(20))")
        tr.insert_many(f"{shop}.t", [(i, str(i)) for i in range(5000)])
        tr.insert_many(f"{shop}.u", [(i, str(i)) for i in range(500)])
        pipe.assert_equal()
        tr.sql(f"TRUNCATE TABLE {shop}.t", f"INSERT INTO {shop}.t VALUES (7, 'after')",
               f"DROP TABLE {shop}.u")
        pipe.assert_equal()
        self.assertEqual(count(f"{shop}.t"), 1)
        self.assertEqual(count(f"{shop}.u"), 0)
        # The floor outlives the process and a second reading of everything.
        pipe["elasticsearch"].stop()
        done = pipe["elasticsearch"].run("reset", "--to", "beginning", "--execute")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        pipe["elasticsearch"].start()
        pipe.assert_equal()

    def test_composite_and_odd_keys_stay_distinct(self):
        pipe, shop = self.start(
            "CREATE TABLE {db}.pair (a VARCHAR(40) COLLATE utf8mb4_bin, b INT,"
            " c VARCHAR(40) COLLATE utf8mb4_bin, v INT, PRIMARY KEY (c, a, b))",
            "CREATE TABLE {db}.single (k VARCHAR(100) COLLATE utf8mb4_bin PRIMARY KEY, v INT)",
            "CREATE TABLE {db}.bytes (k VARBINARY(20) PRIMARY KEY, v INT)")
        odd = ["a", "A", "a,b", "a\"b", "a\\b", "a/b?c#d%e", "ä", "日本", "🙂", "\n\t", "a:b", "{}",
               "[1]", "null", "1", "01", " x", "_id", "%25", "\x7f", "'"]
        tr.insert_many(f"{shop}.single", [(key, n) for n, key in enumerate(odd)], "(k, v)")
        tr.insert_many(f"{shop}.pair", [(a, n, c, 1) for n, a in enumerate(odd) for c in odd],
                    "(a, b, c, v)")
        tr.insert_many(f"{shop}.bytes", [(bytes([n, 255 - n]), n) for n in range(200)], "(k, v)")
        pipe.assert_equal()
        self.assertEqual(count(f"{shop}.single"), len(odd))
        self.assertEqual(count(f"{shop}.pair"), len(odd) ** 2)
        tr.sql(f"DELETE FROM {shop}.pair WHERE v=1 AND b % 2 = 0",
               f"DELETE FROM {shop}.single WHERE v % 2 = 0", f"UPDATE {shop}.bytes SET v = -v")
        pipe.assert_equal()


class Trouble(tr.Case):
    """Servers and processes that go away, and stores that are not what they were."""

    def loaded(self):
        pipe = self.pipeline(stores=STORE, kafka=FAST_GROUPS)
        self.position = tr.head()
        return pipe, pipe.database("shop")

    def test_killed_and_started_under_load(self):
        pipe, shop = self.loaded()
        with Writer(shop, rate=1000):
            start_all(pipe, self.position)
            pipe["elasticsearch"].wait_status(lambda one: tr.total(one, "applied") > 1000,
                                              "some rows", 60)
            tr.stack().kill("elasticsearch")
            pipe["elasticsearch"].wait_status(lambda one: one["state"] == "retrying", "retrying")
            tr.stack().start("elasticsearch")
            pipe["elasticsearch"].wait_status(lambda one: one["state"] == "running", "running", 90)
            time.sleep(2)
        pipe.wait_caught_up(CATCH_UP_S)
        pipe.assert_equal()

    def test_two_processes_share_the_partitions(self):
        pipe, shop = self.loaded()
        second = pipe.another("elasticsearch", "second")
        with Writer(shop, rate=1000):
            start_all(pipe, self.position)
            pipe["elasticsearch"].wait_status(lambda one: tr.total(one, "applied") > 500, "rows",
                                              60)
            second.start()
            second.wait_status(lambda one: tr.total(one, "applied") > 500, "its share", 60)
            pipe["elasticsearch"].kill()
            second.wait_status(lambda one: len(one["partitions"]) == 4, "all partitions", 90)
            pipe["elasticsearch"].start()
            pipe["elasticsearch"].wait_status(lambda one: tr.total(one, "applied") > 200, "rows",
                                              60)
            second.stop()
            time.sleep(2)
        pipe.assert_equal()

    def test_a_closed_index_stops_the_consumer(self):
        pipe, shop = self.loaded()
        tr.sql(f"CREATE TABLE {shop}.t (id INT PRIMARY KEY)", f"INSERT INTO {shop}.t VALUES (1)")
        start_all(pipe, self.position)
        pipe.assert_equal()
        tr.elasticsearch("POST", f"/{shop}.t.g1/_close")
        tr.sql(f"INSERT INTO {shop}.t VALUES (2)")
        self.assertEqual(pipe["elasticsearch"].wait_exit(), 5)
        self.assertIn("is closed; open it", pipe["elasticsearch"].tail())
        tr.elasticsearch("POST", f"/{shop}.t.g1/_open")
        pipe["elasticsearch"].start()
        pipe.assert_equal()

    def test_dropped_and_rebuilt_by_reset(self):
        pipe, shop = self.loaded()
        with Writer(shop, rate=1000):
            start_all(pipe, self.position)
            pipe["elasticsearch"].wait_status(lambda one: tr.total(one, "applied") > 1000,
                                              "some rows", 60)
            pipe["elasticsearch"].stop()
            refused = pipe["elasticsearch"].run("reset", "--to", "beginning", "--drop")
            self.assertEqual(refused.returncode, 0, refused.stdout + refused.stderr)
            self.assertIn(f"index {shop}.load.g1", refused.stdout)
            self.assertGreater(count(f"{shop}.load"), 0)  # a plan removes nothing
            done = pipe["elasticsearch"].run("reset", "--to", "beginning", "--drop", "--execute",
                                             "--confirm", "elasticsearch")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            names = [one["index"] for one in tr.elasticsearch("GET", "/_cat/indices?format=json")]
            self.assertNotIn(f"{shop}.load.g1", names)
            pipe["elasticsearch"].start()
        pipe.assert_equal()

    def test_a_store_that_was_emptied_is_noticed(self):
        pipe, shop = self.loaded()
        tr.sql(f"CREATE TABLE {shop}.t (id INT PRIMARY KEY)", f"INSERT INTO {shop}.t VALUES (1)")
        start_all(pipe, self.position)
        pipe.assert_equal()
        consumer = pipe["elasticsearch"]
        tr.elasticsearch("DELETE", f"/tailrace-{pipe.name}-elasticsearch")
        tr.sql(f"INSERT INTO {shop}.t VALUES (2)")
        self.assertEqual(consumer.wait_exit(), 6)
        self.assertIn("reset", consumer.tail())
        consumer.start()
        self.assertEqual(consumer.wait_exit(), 6)
        self.assertIn("reset", consumer.tail())
        tr.elasticsearch("DELETE", f"/{shop}.t.g1")
        done = consumer.run("reset", "--to", "beginning", "--execute")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        consumer.start()
        pipe.assert_equal()

    def test_a_vanished_index_is_noticed(self):
        pipe, shop = self.loaded()
        tr.sql(f"CREATE TABLE {shop}.t (id INT PRIMARY KEY)", f"INSERT INTO {shop}.t VALUES (1)")
        start_all(pipe, self.position)
        pipe.assert_equal()
        consumer = pipe["elasticsearch"]
        consumer.stop()
        tr.elasticsearch("DELETE", f"/{shop}.t.g1")
        tr.sql(f"INSERT INTO {shop}.t VALUES (2)")
        consumer.start()
        self.assertEqual(consumer.wait_exit(), 6)
        self.assertIn("is gone", consumer.tail())
        done = consumer.run("reset", "--to", "beginning", "--execute")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        consumer.start()
        pipe.assert_equal()


if __name__ == "__main__":
    tr.main()
