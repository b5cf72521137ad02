#!/usr/bin/python3
"""tailrace-capture on statements: what it makes of each form that the server logs."""

import json

import tr
from test_capture import topic

SOURCE = 3


class Statements(tr.Case):
    """Without Kafka: events go to a file, marks to the log."""

    def setUp(self):
        super().setUp()
        self.pipe = self.pipeline(stores=[])
        self.shop = self.pipe.database("shop")
        self.other = f"other_{self.pipe.name}"  # not captured
        self.pipe.databases.append(self.other)

    def session(self, *statements, **settings):
        """{s} and {o} stand for the captured database and the other one."""
        link = tr.connect(local_infile=True, **settings)
        with link, link.cursor() as cursor:
            for one in statements:
                cursor.execute(one.replace("{s}", self.shop).replace("{o}", self.other))

    def anew(self, *tables):
        """Both databases, with these tables and a row each, and a table elsewhere."""
        self.session("DROP DATABASE IF EXISTS {s}", "DROP DATABASE IF EXISTS {o}",
                     "CREATE DATABASE {s}", "CREATE DATABASE {o}",
                     "CREATE TABLE {o}.x (id INT PRIMARY KEY, a INT, b INT)",
                     *[f"CREATE TABLE {{s}}.{one} (id INT PRIMARY KEY, a INT, b INT)"
                       for one in tables],
                     *[f"INSERT INTO {{s}}.{one} VALUES (1, 2, 3)" for one in tables])

    def capture(self, start):
        """What capture makes of the log from there to its end: exit code, events, marks, log."""
        path = self.pipe.folder / "events"
        path.unlink(missing_ok=True)
        done = self.pipe.capture.run("run", "--output", f"file:{path}", "--stop-at-end",
                                     "--start", f"{start[0]}:{start[1]}")
        events = [json.loads(line) for line in path.read_text().splitlines()]
        return done.returncode, events, self.marks(done.stderr), done.stderr

    def marks(self, log):
        lines = [json.loads(line) for line in log.splitlines() if "needs a snapshot" in line]
        return {one["table"].removeprefix(f"{self.shop}.") for one in lines}

    def assert_made(self, wanted, marks, *statements):
        """Of statements on new tables t and u: events but inserts, and marked tables."""
        start = tr.head()
        self.anew("t", "u")
        self.session("USE {s}", *statements)
        code, events, marked, log = self.capture(start)
        self.assertEqual(code, 0, log)
        found = [f"{one['type']} {one['table']}" for one in events if one["type"] != "insert"]
        self.assertEqual((found, marked), (wanted, set(marks.split())), statements)

    def assert_read(self, stops, *statements):
        """A session that logs statements: whether capture stops at them."""
        self.anew("t")
        start = tr.head()
        self.session("SET SESSION binlog_format=STATEMENT", *statements)
        code, _, _, log = self.capture(start)
        self.assertEqual(code, SOURCE if stops else 0, f"{statements}\n{log}")
        self.assertEqual("logged as a statement" in log, stops, f"{statements}\n{log}")

    def test_row_changes_from_another_database_stop(self):
        rows = self.pipe.folder / "rows.txt"
        rows.write_text("7\n8\n")
        load = f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE"
        function = ("CREATE FUNCTION {s}.f() RETURNS INT DETERMINISTIC "
                    "BEGIN INSERT INTO t VALUES (9, 9, 9); RETURN 9; END")
        for one in (["USE {o}", "DELETE {s}.t FROM {s}.t JOIN {o}.x"],
                    ["DELETE {s}.t FROM {s}.t LEFT JOIN {o}.x USING (id)"],
                    ["USE {o}", "UPDATE x, {s}.t SET t.a = 5"],
                    ["USE {o}", "ANALYZE FORMAT=JSON UPDATE {s}.t SET a = 5"],
                    ["ANALYZE DELETE FROM {s}.t"],
                    ["USE {o}", load + " {s}.t (id)"],
                    [load + " `{s}`.t (id)"],
                    ["USE {o}", "CREATE TABLE {s}.n AS VALUES (1), (2)"],
                    ["CREATE OR REPLACE TABLE {s}.t (SELECT 1 AS id)"],
                    ["USE {o}", function, "INSERT INTO x (id) VALUES ({s}.f())"]):
            self.assert_read(True, *one)
        self.assert_read(False, "USE {o}", "CREATE TABLE n SELECT * FROM {s}.t",
                         "DELETE x FROM x JOIN n", "UPDATE x, n SET x.a = 5", load + " n (id)",
                         "INSERT INTO x (id) SELECT t.id FROM {s}.t",
                         "ANALYZE UPDATE x SET a = 6", "ANALYZE TABLE {s}.t")
        self.assert_read(False, load + " {o}.x (id)",
                         "CREATE TEMPORARY TABLE {s}.t (id INT)", load + " {s}.t (id)",
                         "UPDATE {s}.t SET id = 5")

    def test_statements_that_change_old_rows_mark(self):
        parted = ("CREATE TABLE p (id INT PRIMARY KEY, a INT, b INT) PARTITION BY RANGE (id) "
                  "(PARTITION p0 VALUES LESS THAN (10))")
        for marks, *statements in (
                ("p u", parted,
                 "ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE u"),
                ("p n", parted, "CREATE TABLE n LIKE u",
                 "ALTER TABLE p CONVERT TABLE n TO PARTITION p1 VALUES LESS THAN MAXVALUE"),
                ("p pp", parted, "ALTER TABLE p ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))",
                 "ALTER TABLE p CONVERT PARTITION p0 TO TABLE pp"),
                ("t", "ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD B INT"),
                ("t", "ALTER TABLE t DROP b", "INSERT INTO t VALUES (2, 2)",
                 "ALTER TABLE t ADD COLUMN IF NOT EXISTS b INT"),
                ("t", "ALTER TABLE t DROP b, ADD b INT"),
                ("t", "ALTER TABLE t DROP IF EXISTS b", "ALTER TABLE t ADD IF NOT EXISTS b INT"),
                ("", "ALTER TABLE t DROP b, ADD COLUMN IF NOT EXISTS a INT"),
                ("t u v", "RENAME TABLE IF EXISTS t WAIT 5 TO v, u TO t, v TO u"),
                ("t", "CREATE OR REPLACE TABLE t LIKE u", "CREATE OR REPLACE TABLE w LIKE u"),
                ("t", "/*!50000 ALTER TABLE */ t /*M!100000 MODIFY a BIGINT */")):
            self.assert_made([], marks, *statements)

    def test_statements_that_empty(self):
        self.assert_made(["table-truncate t", "table-drop u"], "",
                         "SET SESSION sql_mode='ANSI_QUOTES'", "TRUNCATE .t WAIT 5",
                         "CREATE PROCEDURE p() BEGIN TRUNCATE u; DROP TABLE t; END",
                         "CREATE OR REPLACE VIEW w AS SELECT * FROM t",
                         "CREATE SEQUENCE q", "DROP SEQUENCE q", "OPTIMIZE TABLE t",
                         'DROP TABLES /*!999999 t, */ "u"')
        # Rows from before don't count behind it; those of the same shape since do.
        self.assert_made(["table-drop t", "table-truncate u"], "u",
                         "DROP TABLE t", "CREATE TABLE t (id INT PRIMARY KEY)",
                         "ALTER TABLE t ADD a VARCHAR(20) NULL",
                         "TRUNCATE u", "INSERT INTO u VALUES (2, 3, 4)", "ALTER TABLE u DROP b",
                         "INSERT INTO u VALUES (3, 4)", "ALTER TABLE u ADD b INT")
        start = tr.head()
        self.anew("t", "u")
        many = [f"{{o}}.d{i}" for i in range(70)]
        self.session(*[f"CREATE TABLE {one} (id INT)" for one in many],
                     "DROP TABLE " + ", ".join([*many, "{s}.u"]))
        code, events, _, log = self.capture(start)
        self.assertEqual(code, 0, log)
        self.assertEqual([one["table"] for one in events if one["type"] == "table-drop"], ["u"])

    def test_temporary_tables_are_not_the_captured_ones(self):
        for wanted, *statements in (
                ([], "ALTER TABLE t ADD x INT DEFAULT 5", "TRUNCATE t",
                 "INSERT INTO t VALUES (1, 2)", "DROP TABLE t"),
                ([], "ALTER TABLE t RENAME q", "ALTER TABLE q RENAME u", "TRUNCATE u",
                 "INSERT INTO u VALUES (1)"),
                (["table-truncate u", "table-drop t"], "TRUNCATE u", "DROP TEMPORARY TABLE t",
                 "DROP TABLE t")):
            self.assert_made(wanted, "", "SET SESSION binlog_format=MIXED",
                             "CREATE TEMPORARY TABLE t (id INT)", *statements)
        self.assert_made(["table-truncate t"], "",
                         "CREATE PROCEDURE p() BEGIN CREATE TEMPORARY TABLE z (id INT); "
                         "INSERT INTO z VALUES (1); TRUNCATE t; END", "CALL p()")

    def test_names_in_another_character_set(self):
        """As a client of latin1 sends them, which is how they are logged."""
        self.pipe.configure(capture={"tables": [f"{self.shop}.größe", f"{self.shop}.t"]})
        for stops, *statements in (
                (True, "TRUNCATE größe"), (True, "DROP TABLE größe"),
                (True, "ALTER TABLE größe MODIFY a BIGINT"), (True, "RENAME TABLE größe TO größer"),
                (True, "ALTER TABLE größe ADD COLUMN c INT"),
                (True, "SET SESSION binlog_format=STATEMENT", "UPDATE größe SET a = 5"),
                (True, "SET SESSION binlog_format=STATEMENT", "USE {o}", "ANALYZE INSERT INTO "
                 "{s}.größe VALUES (7, 8, 9)"),
                (False, "CREATE INDEX i ON größe (a)", "INSERT INTO größe VALUES (7, 8, 9)"),
                (False, "CREATE TABLE {o}.größe (id INT)", "TRUNCATE {o}.größe",
                 "SET SESSION binlog_format=STATEMENT", "INSERT INTO {o}.größe VALUES (1)",
                 "DROP TABLE {o}.größe"),
                (False, "SET SESSION binlog_format=STATEMENT",
                 "CREATE TEMPORARY TABLE größe (id INT)", "INSERT INTO größe VALUES (1)",
                 "TRUNCATE größe", "DROP TABLE größe")):
            self.anew("t", "größe")
            start = tr.head()
            self.session("USE {s}", *statements, charset="latin1")
            code, _, _, log = self.capture(start)
            self.assertEqual(code, SOURCE if stops else 0, f"{statements}\n{log}")
            self.assertEqual("another character set" in log, stops, f"{statements}\n{log}")

    def test_database_dropped_in_another_character_set(self):
        name = f"{self.pipe.name}_größe"
        self.pipe.databases.append(f"`{name}`")
        self.pipe.configure(capture={"tables": [{"table": f"{name}.*", "topic": "sizes"}]})
        start = tr.head()
        for statement in (f"CREATE OR REPLACE DATABASE {name}", f"DROP DATABASE {name}"):
            self.session(f"CREATE DATABASE IF NOT EXISTS {name}",
                         f"CREATE TABLE {name}.t (id INT PRIMARY KEY)",
                         f"INSERT INTO {name}.t VALUES (1)")
            self.session(statement, charset="latin1")
        code, events, _, log = self.capture(start)
        self.assertEqual(code, 0, log)
        self.assertEqual([one["type"] for one in events], ["insert", "table-drop"] * 2)

    def test_dropped_key_marks_at_once(self):
        path = self.pipe.folder / "events"
        start = tr.head()
        self.session("CREATE TABLE {s}.k (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, "
                     "UNIQUE u (a), UNIQUE v (b, c))", "INSERT INTO {s}.k VALUES (1, 2, 3)",
                     "CREATE TABLE {s}.p (a INT PRIMARY KEY, b INT NOT NULL, UNIQUE u (b))",
                     "INSERT INTO {s}.p VALUES (1, 2)",
                     "CREATE TABLE {s}.q (a INT NOT NULL, b INT, UNIQUE u (a), KEY v (b))",
                     "INSERT INTO {s}.q VALUES (1, 2)")
        self.pipe.capture.start("--output", f"file:{path}", "--start", f"{start[0]}:{start[1]}")
        tr.wait_until(lambda: path.exists() and path.read_text().count("\n") == 3, "three rows")
        self.session("ALTER TABLE {s}.p DROP KEY u", "ALTER TABLE {s}.q DROP KEY v",
                     "DROP INDEX u ON {s}.k")
        self.pipe.capture.wait_log("needs a snapshot")
        self.pipe.capture.stop()
        self.assertEqual(self.marks(self.pipe.capture.log_text()), {"k"})

    def test_file_written_without_checksums(self):
        self.anew("t")
        checksum = tr.sql("SELECT @@global.binlog_checksum")[0][0]
        self.addCleanup(tr.sql, f"SET GLOBAL binlog_checksum={checksum}")
        tr.sql("SET GLOBAL binlog_checksum=NONE")
        start = tr.head()
        self.session("INSERT INTO {s}.t VALUES (7, 8, 9)")
        tr.sql("SET GLOBAL binlog_checksum=CRC32")
        code, events, _, log = self.capture(start)
        self.assertEqual(code, 0, log)
        self.assertEqual([one["data"]["id"] for one in events], [7])

    def test_accounts_are_not_in_the_history(self):
        who = f"{self.pipe.name}@localhost"
        self.session("-- why\nCREATE TABLE {s}.t (id INT PRIMARY KEY)",
                     f"-- Create the app account\nCREATE USER {who} IDENTIFIED BY 'unseen'",
                     f"ALTER -- pw of\nUSER {who} IDENTIFIED BY 'unseen'",
                     f"# create table\nALTER USER {who} IDENTIFIED BY 'unseen'",
                     f"/*!50000 ALTER USER {who} IDENTIFIED BY 'unseen' */",
                     f"GRANT SELECT ON {{s}}.* TO {who} IDENTIFIED BY 'unseen'",
                     f"DROP USER {who}",
                     "ALTER TABLE {s}.t CONNECTION='mysql://fed:unseen@h/d/t'")
        self.pipe.start_capture()
        self.pipe.wait_captured()
        self.pipe.capture.stop()
        found = [one["text"] for one in topic(f"tailrace.{self.pipe.name}.schema-changes")]
        self.assertFalse([one for one in found if "unseen" in one or "USER" in one])
        self.assertEqual(len([one for one in found if "CREATE TABLE" in one]), 1, found)
        checkpoint = [one["text"] for one in topic(f"tailrace.{self.pipe.name}.control")
                      if one["key"] == ["checkpoint"]][-1]
        self.assertIn(f'"table":"{self.shop}.t"', checkpoint)  # marked
        self.assertNotIn("unseen", checkpoint)


if __name__ == "__main__":
    tr.main()
