#!/usr/bin/python3
"""tailrace-capture on what the log doesn't say and the source's catalogue does: columns that look
like plain bytes, foreign keys that change rows unlogged, and databases that are left out."""

import base64
import ipaddress
import struct
import uuid

import tr
from own_mariadb import OwnMariaDB
from test_capture import SOURCE, events, topic

UUIDS = (uuid.UUID("123e4567-e89b-12d3-a456-426614174001"),
         uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"))
INET6 = ipaddress.IPv6Address("2001:db8::7:1")
INET4 = ipaddress.IPv4Address("10.1.2.3")
BYTES = bytes(range(1, 17))
# The plain bytes are as long as what must be told from them.
COLUMNS = ("(id INT PRIMARY KEY, name VARCHAR(20), u UUID, b16 BINARY(16), i6 INET6, b4 BINARY(4),"
           " i4 INET4, p POINT, n DECIMAL(10,2))")
NAMES = ("id", "name", "u", "b16", "i6", "b4", "i4", "p", "n")
INVALID = ["u", "i6", "i4", "p"]
CLAUSES = ("ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE", "ON UPDATE SET NULL")


def text_of(data):
    return base64.b64encode(data).decode()


def point(x, y):
    """A geometry as rows have it: | u32 SRID | u8 little-endian | u32 POINT | f64 x | f64 y |"""
    return struct.pack("<IBIdd", 0, 1, 1, x, y)


class Columns(tr.Case):
    """Types that are not rendered yet: their names stand in `invalid`, no other column's does."""

    def test_unrendered_types_are_named_invalid(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.early {COLUMNS}")
        pipe.start_capture("latest")
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        tr.sql(f"CREATE TABLE {shop}.late {COLUMNS}")
        for table in ("early", "late"):
            name = f"{shop}.{table}"
            tr.sql(f"INSERT INTO {name} VALUES (1, 'all', '{UUIDS[0]}', x'{BYTES.hex()}', "
                   f"'{INET6}', x'{BYTES[:4].hex()}', '{INET4}', POINT(1, 2.5), 3.5)",
                   f"INSERT INTO {name} (id, name) VALUES (2, 'none')",
                   f"UPDATE {name} SET u = '{UUIDS[1]}', name = 'ALL' WHERE id = 1",
                   f"DELETE FROM {name}")
        pipe.wait_captured()
        pipe.capture.stop()
        for table in ("early", "late"):
            with self.subTest(table):
                self.assert_rows(events(f"db.{shop}", table))
                self.assertEqual(self.refined(pipe, table),
                                 {"u": "uuid", "i6": "inet6", "i4": "inet4"})

    def assert_rows(self, found):
        full = dict(zip(NAMES, (1, "all", text_of(UUIDS[0].bytes), text_of(BYTES),
                                text_of(INET6.packed), text_of(BYTES[:4]), text_of(INET4.packed),
                                text_of(point(1, 2.5)), 3.5)))
        changed = dict(full, u=text_of(UUIDS[1].bytes), name="ALL")
        empty = dict(dict.fromkeys(NAMES), id=2, name="none")
        self.assertEqual(
            [(one["type"], one.get("invalid"), one["data"], one.get("old")) for one in found],
            [("insert", INVALID, full, None), ("insert", None, empty, None),
             ("update", INVALID, changed, {"u": full["u"], "name": "all"}),
             ("delete", INVALID, changed, None), ("delete", None, empty, None)])

    def refined(self, pipe, table):
        """What the table's only shape says of its columns: name → refinement."""
        shapes = [one["value"] for one in topic(f"tailrace.{pipe.name}.control")
                  if one["key"][0] == "shape" and one["key"][2] == table]
        self.assertEqual(len(shapes), 1, shapes)
        return {one["name"]: one["refine"] for one in shapes[0]["columns"] if "refine" in one}


class Cascades(tr.Case):
    """Foreign keys by which the server changes rows without logging it."""

    def parent(self):
        pipe = self.pipeline(stores=[])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.p (id INT PRIMARY KEY)",
               f"INSERT INTO {shop}.p VALUES (1), (2)")
        return pipe, shop

    def child(self, shop, clauses, name="fk_casc"):
        tr.sql(f"CREATE OR REPLACE TABLE {shop}.c (id INT PRIMARY KEY, p INT, "
               f"CONSTRAINT `{name}` FOREIGN KEY (p) REFERENCES {shop}.p (id) {clauses})")

    def assert_refused(self, pipe, shop):
        """By name, from check and from run."""
        for command in (["check"], ["run", "--stop-at-end", "--start", "latest"]):
            done = pipe.capture.run(*command)
            self.assertEqual(done.returncode, SOURCE, (command, done.stderr))
            self.assertIn(f"{shop}.c:", done.stderr)
            self.assertIn("fk_casc", done.stderr)

    def test_each_clause_is_refused_by_name(self):
        pipe, shop = self.parent()
        for clause in CLAUSES:
            with self.subTest(clause):
                self.child(shop, clause)
                self.assert_refused(pipe, shop)
        pipe.configure(source={"unlogged_cascades": "accept"})
        self.assertEqual(pipe.capture.run("check").returncode, 0)

    def test_keys_that_change_no_rows_are_taken(self):
        pipe, shop = self.parent()
        for clauses, name in (("", "fk"), ("ON DELETE RESTRICT ON UPDATE NO ACTION", "fk"),
                              ("ON DELETE RESTRICT", "fk ON DELETE CASCADE")):
            with self.subTest(clauses, name=name):
                self.child(shop, clauses, name)
                done = pipe.capture.run("check")
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_one_of_a_table_that_is_not_captured_is_taken(self):
        pipe, shop = self.parent()
        self.child(shop, CLAUSES[0])
        pipe.configure(capture={"tables": [f"{pipe.name}_*.*", f"!{shop}.c"]})
        done = pipe.capture.run("check")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_one_that_is_made_while_capture_runs_ends_it(self):
        pipe, shop = self.parent()
        self.child(shop, "ON DELETE RESTRICT", "fk_harmless")
        pipe.start_capture("latest")
        pipe.capture.wait_status(lambda status: status["state"] == "running", "running")
        tr.sql(f"INSERT INTO {shop}.c VALUES (1, 1)")
        pipe.wait_captured()
        tr.sql(f"ALTER TABLE {shop}.c ADD CONSTRAINT fk_casc FOREIGN KEY (p) "
               f"REFERENCES {shop}.p (id) ON UPDATE CASCADE")
        self.assertEqual(pipe.capture.wait_exit(), SOURCE, pipe.capture.tail())
        for text in (f"{shop}.c:", "fk_casc", "source.unlogged_cascades"):
            self.assertIn(text, pipe.capture.tail(3))
        # Started again it says the same; without the key it goes on where it was.
        self.assertEqual(pipe.capture.run("run", "--stop-at-end").returncode, SOURCE)
        tr.sql(f"ALTER TABLE {shop}.c DROP FOREIGN KEY fk_casc",
               f"INSERT INTO {shop}.c VALUES (2, 2)")
        pipe.start_capture()
        pipe.wait_captured()
        pipe.capture.stop()
        self.assertEqual([one["data"]["id"] for one in events(f"db.{shop}", "c")], [1, 2])


class Filters(OwnMariaDB):
    """Databases whose changes the server keeps out of its log."""

    extra = ("--binlog-ignore-db=secret", "--binlog-ignore-db=scratch")

    def check(self):
        config = self.write_config(pipeline="t" + uuid.uuid4().hex[:8],
                                   kafka={"bootstrap.servers": tr.places()["KAFKA_BOOTSTRAP"]})
        done = self.capture(command="check", config=config)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [line for line in done.stdout.splitlines() if "binlog filters" in line]

    def test_check_names_the_servers_binlog_filters(self):
        ignored = "binlog_ignore_db=secret,scratch"
        for extra, named in ((None, ignored), (["--binlog-do-db=shop"], "binlog_do_db=shop"),
                             ([*self.extra, "--binlog-do-db=shop"],
                              f"binlog_do_db=shop {ignored}")):
            if extra is not None:
                self.stack.restart("mariadb", extra=extra)
            self.assertEqual(self.check(), ["warning: the server's binlog filters leave changes "
                                            f"out: {named}"])
        self.stack.restart("mariadb")
        self.assertEqual(self.check(), [])


if __name__ == "__main__":
    tr.main()
