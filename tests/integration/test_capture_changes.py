#!/usr/bin/python3
"""tailrace-capture where the source's tables change under it: keys, names, shapes, topics."""

import signal

import tr
from test_capture import CONFIGURATION, events, topic


class Changes(tr.Case):
    """Statements that change what a table is, read late, twice, or before a restart."""

    def running(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        pipe.start_capture()
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        return pipe, shop

    def needs_snapshot(self, pipe):
        """The tables that status marks."""
        pipe.wait_captured()
        return {one["table"].split(".")[1] for one in pipe.capture.status()["tables"]
                if one.get("needs_snapshot") is not None}

    def test_changed_key_marks_the_table(self):
        pipe, shop = self.running()
        columns = "(a INT NOT NULL, b INT NOT NULL, c INT NOT NULL"
        tables = {
            "drops": (f"{columns}, UNIQUE u (a), UNIQUE v (b, c))",
                      ["ALTER TABLE {} DROP KEY u"]),
            "drops_column": (f"{columns}, UNIQUE u (a), UNIQUE v (b, c))",
                             ["ALTER TABLE {} DROP COLUMN a, ADD COLUMN a INT"]),
            "adds": (f"{columns}, UNIQUE v (b, c))", ["CREATE UNIQUE INDEX u ON {} (a)"]),
            "same": (f"{columns}, UNIQUE u (a), KEY v (b, c))", ["ALTER TABLE {} DROP KEY v"]),
            "refilled": (f"{columns}, UNIQUE v (b, c))", ["CREATE UNIQUE INDEX u ON {} (a)"]),
            "emptied": (f"{columns}, PRIMARY KEY (a))",
                        ["DROP TABLE {}", "CREATE TABLE {} " + columns + ", PRIMARY KEY (b))"]),
        }
        marked = {"drops", "drops_column", "adds", "refilled"}
        for name, (definition, changes) in tables.items():
            tr.sql(f"CREATE TABLE {shop}.{name} {definition}",
                   f"INSERT INTO {shop}.{name} (a, b, c) VALUES (1, 2, 3)")
            # Or the catalogue would know the new key before the first row is looked at.
            pipe.wait_captured()
            if name == "refilled":  # by rows of the shape from before
                tr.sql(f"TRUNCATE {shop}.{name}", f"INSERT INTO {shop}.{name} VALUES (1, 2, 3)")
                pipe.wait_captured()
            tr.sql(*[one.format(f"{shop}.{name}") for one in changes],
                   f"INSERT INTO {shop}.{name} (a, b, c) VALUES (4, 5, 6)")
        self.assertEqual(self.needs_snapshot(pipe), marked)
        pipe.capture.stop()
        pipe.start_capture()
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        self.assertEqual(self.needs_snapshot(pipe), marked)

    def test_key_that_changed_before_a_restart(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.k (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a))",
               f"INSERT INTO {shop}.k VALUES (1, 2)",
               f"ALTER TABLE {shop}.k DROP PRIMARY KEY, ADD PRIMARY KEY (b)",
               *[f"CREATE TABLE {shop}.{one} (id INT PRIMARY KEY, c INT)" for one in "mn"],
               f"INSERT INTO {shop}.m VALUES (1, 2)", f"INSERT INTO {shop}.n VALUES (1, 2)",
               f"ALTER TABLE {shop}.m DROP c")
        pipe.wait_captured()
        pipe.capture.stop()
        tr.sql(f"INSERT INTO {shop}.k VALUES (1, 3)", f"INSERT INTO {shop}.n VALUES (3, 4)",
               *[f"ALTER TABLE {shop}.{one} ADD COLUMN IF NOT EXISTS c INT" for one in "mn"])
        pipe.start_capture()
        self.assertEqual(self.needs_snapshot(pipe), {"k", "m"})  # n had it all along
        pipe.capture.stop()
        rows = sorted((one for one in topic(f"db.{shop}")
                       if one["value"] and one["value"]["table"] == "k"),
                      key=lambda one: one["value"]["version"])
        self.assertEqual([{name: value for name, value in one["key"].items() if "pk." in name}
                          for one in rows], [{"pk.a": 1}, {"pk.b": 3}])

    def test_key_that_was_lost_after_a_restart(self):
        """Rows of a table without a key are skipped: what was published of it is marked."""
        pipe, shop = self.running()
        pipe.capture.stop()
        pipe.configure(capture={"on_no_key": "skip"})
        pipe.start_capture()
        tr.sql(*[f"CREATE TABLE {shop}.{one} (a INT NOT NULL, b INT, UNIQUE u (a), KEY v (b))"
                 for one in "klm"],
               *[f"INSERT INTO {shop}.{one} VALUES (1, 2)" for one in "klm"])
        pipe.wait_captured()
        pipe.capture.stop()
        pipe.start_capture()
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        tr.sql(f"INSERT INTO {shop}.l VALUES (3, 4)", f"INSERT INTO {shop}.m VALUES (3, 4)")
        pipe.wait_captured()
        tr.sql(f"ALTER TABLE {shop}.k DROP KEY u", f"ALTER TABLE {shop}.l DROP KEY u",
               f"ALTER TABLE {shop}.m DROP KEY v",
               *[f"INSERT INTO {shop}.{one} VALUES (5, 6)" for one in "klm"])
        self.assertEqual(self.needs_snapshot(pipe), {"k", "l"})
        pipe.capture.stop()
        self.assertEqual([one["table"] for one in events(f"db.{shop}")
                          if one["data"]["a"] == 5], ["m"])

    def test_json_stays_json_when_the_table_is_altered_again(self):
        """The catalogue is ahead of the log: it can't say any more which column is JSON."""
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.j (id INT PRIMARY KEY, doc JSON)",
               f"INSERT INTO {shop}.j VALUES (1, '{{\"n\": 1}}')")
        pipe.wait_captured()
        pipe.capture.child.send_signal(signal.SIGSTOP)
        tr.sql(f"ALTER TABLE {shop}.j COMMENT = 'x'",
               f"INSERT INTO {shop}.j VALUES (2, '{{\"n\": 2}}')",
               f"ALTER TABLE {shop}.j ADD COLUMN v INT",
               f"INSERT INTO {shop}.j VALUES (3, '{{\"n\": 3}}', 1)",
               f"ALTER TABLE {shop}.j ADD COLUMN w INT")
        pipe.capture.child.send_signal(signal.SIGCONT)
        pipe.wait_captured()
        pipe.capture.stop()
        rows = events(f"db.{shop}")
        self.assertEqual([one["data"]["doc"] for one in rows], [{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(rows[0]["schema_id"], rows[1]["schema_id"])

    def test_columns_that_became_json_before_a_restart(self):
        """The log shows no difference: that a table was altered is remembered until its next row,
        and no longer, since the catalogue may be ahead by then."""
        pipe, shop = self.running()
        text = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        columns = "(id INT PRIMARY KEY, doc {})"
        tr.sql(*[f"CREATE TABLE {shop}.{one} {columns.format(text)}" for one in "adk"],
               *[f"INSERT INTO {shop}.{one} VALUES (1, '{{}}')" for one in "adk"])
        pipe.wait_captured()
        tr.sql(f"ALTER TABLE {shop}.a MODIFY doc JSON", f"DROP TABLE {shop}.d",
               f"CREATE TABLE {shop}.d {columns.format('JSON')}",
               f"ALTER TABLE {shop}.k MODIFY doc JSON", f"INSERT INTO {shop}.k VALUES (2, '{{}}')")
        for backlog in (False, True):
            pipe.wait_captured()
            pipe.capture.stop()
            if backlog:
                tr.sql(*[f"INSERT INTO {shop}.{one} VALUES (3, '{{}}')" for one in "adk"],
                       f"ALTER TABLE {shop}.k MODIFY doc {text}",
                       *[f"INSERT INTO {shop}.{one} VALUES (4, '{{}}')" for one in "adk"])
            pipe.start_capture()
            pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        pipe.wait_captured()
        pipe.capture.stop()
        found = {(one["table"], one["data"]["id"]): one["data"]["doc"]
                 for one in events(f"db.{shop}") if one["type"] == "insert"}
        self.assertEqual(found, {("a", 1): "{}", ("a", 3): {}, ("a", 4): {},
                                 ("d", 1): "{}", ("d", 3): {}, ("d", 4): {},
                                 ("k", 1): "{}", ("k", 2): {}, ("k", 3): {}, ("k", 4): "{}"})
        checkpoint = [one["value"] for one in topic(f"tailrace.{pipe.name}.control")
                      if one["key"] == ["checkpoint"]][-1]
        self.assertNotIn("altered", checkpoint)

    def test_statements_on_a_table_called_user(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.user (id INT PRIMARY KEY)",
               f"CREATE OR REPLACE USER {pipe.name}@localhost IDENTIFIED BY 'unseen'",
               f"SET PASSWORD FOR {pipe.name}@localhost = PASSWORD('unseen')",
               f"SET STATEMENT max_statement_time=9 FOR ALTER TABLE {shop}.user ADD v INT",
               f"SET STATEMENT max_statement_time=100 FOR ALTER USER {pipe.name}@localhost "
               "IDENTIFIED BY 'unseen'", f"DROP USER {pipe.name}@localhost",
               f"DROP TABLE {shop}.user")
        pipe.wait_captured()
        pipe.capture.stop()
        found = [one["text"] for one in topic(f"tailrace.{pipe.name}.schema-changes")]
        self.assertFalse([one for one in found if "unseen" in one])
        self.assertEqual(len([one for one in found if "TABLE" in one]), 3, found)

    def test_temporary_table_of_a_captured_table_s_name(self):
        pipe, shop = self.running()
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        link = tr.connect(database=shop)
        with link, link.cursor() as cursor:
            for one in ("SET SESSION binlog_format=MIXED", "CREATE TEMPORARY TABLE a (id INT)",
                        "INSERT INTO a VALUES (7)", "TRUNCATE a", "DROP TABLE a",
                        "SET SESSION binlog_format=ROW",
                        "CREATE TEMPORARY TABLE a (id INT)",
                        "INSERT INTO a VALUES (8)", "TRUNCATE a", "DROP TABLE a",
                        "INSERT INTO a VALUES (2)"):
                cursor.execute(one)
        pipe.wait_captured()
        self.assertEqual([one["type"] for one in events(f"db.{shop}")], ["insert", "insert"])
        link = tr.connect(database=shop)
        with link, link.cursor() as cursor:
            cursor.execute("SET SESSION binlog_format=MIXED")
            cursor.execute("TRUNCATE a")
        pipe.wait_captured()
        pipe.capture.stop()
        self.assertEqual({one["type"] for one in events(f"db.{shop}")},
                         {"insert", "table-truncate"})

    def test_temporary_table_from_before_a_restart(self):
        """Whether TRUNCATE meant it can't be told: nothing is removed, the table is marked."""
        pipe, shop = self.running()
        procedure = (f"CREATE PROCEDURE {shop}.p() BEGIN CREATE TEMPORARY TABLE z (id INT); "
                     "INSERT INTO z VALUES (1); DROP TEMPORARY TABLE z; TRUNCATE {}; END")
        tr.sql(*[f"CREATE TABLE {shop}.{one} (id INT PRIMARY KEY)" for one in "abc"],
               *[f"INSERT INTO {shop}.{one} VALUES (1)" for one in "abc"],
               procedure.format("b"))
        old = tr.connect(database=shop)
        with old, old.cursor() as cursor:
            cursor.execute("SET SESSION binlog_format=MIXED")
            cursor.execute("CREATE TEMPORARY TABLE a (id INT)")
            pipe.wait_captured()
            pipe.capture.stop()
            pipe.start_capture()
            pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
            cursor.execute("TRUNCATE a")
        tr.sql(f"CALL {shop}.p()")  # a session that logs rows, and one that doesn't
        tr.sql(f"DROP PROCEDURE {shop}.p", procedure.format("c"),
               "SET SESSION binlog_format=MIXED", f"CALL {shop}.p()")
        self.assertEqual(self.needs_snapshot(pipe), {"a"})
        pipe.capture.stop()
        self.assertEqual({one["table"] for one in events(f"db.{shop}")
                          if one["type"] == "table-truncate"}, {"b", "c"})

    def test_topics_that_collide(self):
        pipe, shop = self.running()
        dotted = shop.replace("_", ".")
        tr.sql(f"CREATE TABLE {shop}.a (id INT PRIMARY KEY)", f"INSERT INTO {shop}.a VALUES (1)")
        pipe.wait_captured()
        pipe.capture.stop()
        rules = [f"{shop}.*", f"`{dotted}`.*"]
        pipe.configure(capture={"tables": rules})
        tr.sql(f"CREATE DATABASE `{dotted}`", f"CREATE TABLE `{dotted}`.a (id INT PRIMARY KEY)",
               f"INSERT INTO `{dotted}`.a VALUES (1)")
        pipe.databases.append(f"`{dotted}`")
        for done in (pipe.capture.run("check"), pipe.capture.run("run", "--stop-at-end")):
            self.assertEqual(done.returncode, CONFIGURATION, done.stderr)
            self.assertIn("'.' and '_'", done.stderr)
        pipe.configure(capture={"tables": [rules[0], {"table": rules[1], "topic": f"{shop}-2"}]})
        done = pipe.capture.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = pipe.capture.run("run", "--stop-at-end")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(events(f"{shop}-2")), 1)


if __name__ == "__main__":
    tr.main()
