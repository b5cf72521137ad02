#!/usr/bin/python3
"""What capture says when the source can't be used, or stops being usable.

Each failing setting is one clear line with the statement that mends it, within 5 s; an unreachable
server is waited for; a place that is gone, and a server id that another replica uses, end it by
name.
"""

import json
import signal
import socket
import subprocess
import time
import unittest

import tr
from own_mariadb import OwnMariaDB, message

WITHIN_S = 5


class SourceErrors(OwnMariaDB):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql("CREATE DATABASE e", "CREATE TABLE e.t (id INT PRIMARY KEY, v INT)",
                "INSERT INTO e.t VALUES (1, 1)")
        cls.endpoint = f"127.0.0.1:{cls.places['MARIADB_PORT']}"

    def assert_refused(self, *parts, config=None, arguments=(), env=None, code=3):
        """Exit `code` within 5 s and one line that holds all `parts`, from run and from check."""
        for command in (["run", "--output", "stdout", "--start", "latest", *arguments], ["check"]):
            begin = time.monotonic()
            done = self.capture(*command[1:], command=command[0], config=config, env=env,
                                timeout_s=30)
            took = time.monotonic() - begin
            line = message(done)
            if command[0] == "check":
                line = done.stdout + line
            self.assertEqual(done.returncode, code, f"{command[0]}: {line}\n{done.stderr}")
            for part in parts:
                self.assertIn(part, line, command[0])
            if command[0] == "run":
                self.assertEqual(line.count("\n"), 0, line)
                self.assertEqual(done.stdout, "")
            self.assertLess(took, WITHIN_S, command[0])

    def with_global(self, name, value):
        before = self.sql(f"SELECT @@global.{name}")[0][0]
        self.addCleanup(self.sql, f"SET GLOBAL {name}='{before}'")
        self.sql(f"SET GLOBAL {name}='{value}'")

    # --- settings, each with its statement

    def test_wrong_password(self):
        self.assert_refused("Access denied", "source.password", "ALTER USER 'tailrace'@'%'",
                            env={"TAILRACE_SOURCE_PASSWORD": "wrong"})

    def test_unknown_user(self):
        config = self.write_config("unknown", source={"user": "nobody_here"})
        self.assert_refused("Access denied", "nobody_here", "source.user", config=config)

    def test_binlog_format(self):
        self.with_global("binlog_format", "MIXED")
        self.assert_refused("binlog_format is MIXED", self.endpoint,
                            "SET GLOBAL binlog_format='ROW'")

    def test_binlog_row_image(self):
        self.with_global("binlog_row_image", "MINIMAL")
        self.assert_refused("binlog_row_image is MINIMAL", self.endpoint,
                            "SET GLOBAL binlog_row_image='FULL'")

    def test_binlog_row_metadata(self):
        for value in ("NO_LOG", "MINIMAL"):
            self.with_global("binlog_row_metadata", value)
            self.assert_refused(f"binlog_row_metadata is {value}", self.endpoint,
                                "SET GLOBAL binlog_row_metadata='FULL'")

    def test_the_statements_mend_it(self):
        """What each line tells to do is done; then capture runs."""
        for name, value in (("binlog_format", "STATEMENT"), ("binlog_row_image", "NOBLOB"),
                            ("binlog_row_metadata", "MINIMAL")):
            self.with_global(name, value)
            line = message(self.capture("--output", "stdout", "--stop-at-end"))
            statement = line[line.index("SET GLOBAL"):line.index(";")]
            self.sql(statement)
            done = self.capture("--output", "stdout", "--stop-at-end")
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_missing_privileges(self):
        self.sql("CREATE OR REPLACE USER bare@'%' IDENTIFIED BY 'bare'")
        self.addCleanup(self.sql, "DROP USER bare@'%'")
        config = self.write_config("bare", source={"user": "bare", "password_file": None,
                                                   "password": "bare"})
        everything = "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO 'bare'@'%'"
        for privilege in ("REPLICATION SLAVE", "BINLOG MONITOR", "SELECT"):
            self.assert_refused(f"lacks {privilege}", everything, config=config)
            self.sql(f"GRANT {privilege} ON *.* TO bare@'%'")
        done = self.capture("--output", "stdout", "--stop-at-end", config=config)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_privileges_by_a_role(self):
        self.sql("CREATE ROLE reader", "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* "
                 "TO reader", "CREATE USER role_user@'%' IDENTIFIED BY 'r'",
                 "GRANT reader TO role_user@'%'", "SET DEFAULT ROLE reader FOR role_user@'%'")
        self.addCleanup(self.sql, "DROP USER role_user@'%'", "DROP ROLE reader")
        config = self.write_config("role", source={"user": "role_user", "password_file": None,
                                                   "password": "r"})
        done = self.capture("--output", "stdout", "--stop-at-end", config=config)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_servers_own_id(self):
        config = self.write_config("ownid", source={"server_id": 1101})
        self.assert_refused("1101", "source.server_id", config=config)

    def test_many_gtid_domains(self):
        """The set has more than 255 bytes; it is taken whole, and reading goes on from it."""
        file, offset = self.head()
        for domain in range(4294967200, 4294967200 + 30):
            self.sql(f"SET gtid_domain_id={domain}",
                     f"UPDATE e.t SET v = {domain % 1000} WHERE id = 1")
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", f"{file}:{offset}")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([one["gtid"].split("-")[0] for one in rows],
                         [str(domain) for domain in range(4294967200, 4294967200 + 30)])
        whole = self.sql("SELECT @@global.gtid_binlog_pos")[0][0]
        self.assertGreater(len(whole), 255)
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", whole)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    # --- places that are gone

    def test_purged_and_impossible_places(self):
        first = self.head()[0]
        self.sql("FLUSH BINARY LOGS", "INSERT INTO e.t VALUES (2, 2)", "FLUSH BINARY LOGS",
                 "INSERT INTO e.t VALUES (3, 3)")
        # A file stays as long as the server may need it to recover, which ends a little later.
        self.wait_for(lambda: self.sql(f"PURGE BINARY LOGS TO '{self.head()[0]}'",
                                       "SHOW BINARY LOGS")[0][0] == self.head()[0], "the purge")
        for place, words in ((f"{first}:4", f"has no binlog file {first} (purged"),
                             (f"{self.head()[0]}:999999999", "impossible position"),
                             ("bin.999999:4", "has no binlog file bin.999999 (purged"),
                             ("0-1101-99999999", "not in the master's binlog")):
            done = self.capture("--output", "stdout", "--start", place, timeout_s=30)
            self.assertEqual(done.returncode, 6, f"{place}: {done.stderr}")
            self.assertIn(words, message(done), place)
            self.assertEqual(message(done).count("\n"), 0)

    def test_statement_in_the_log_stops_with_its_place(self):
        place = "{}:{}".format(*self.head())
        self.sql("SET SESSION binlog_format = STATEMENT", "INSERT INTO e.t VALUES (40, 4)")
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", place)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("e.t", message(done))
        self.assertIn(place.split(":")[0], message(done))

    def test_row_without_all_columns_stops_with_its_place(self):
        place = "{}:{}".format(*self.head())
        self.sql("SET SESSION binlog_row_image = MINIMAL", "UPDATE e.t SET v = 9 WHERE id = 1")
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", place)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("e.t", message(done))
        self.assertIn("binlog_row_image", message(done))

    def test_xa_stops_by_name(self):
        place = "{}:{}".format(*self.head())
        self.sql("XA START 'x'", "INSERT INTO e.t VALUES (50, 5)", "XA END 'x'", "XA PREPARE 'x'",
                 "XA COMMIT 'x'")
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", place)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("XA", message(done))

    # --- while it runs

    def start_running(self, *arguments, config=None):
        log = self.folder / f"run-{time.monotonic_ns()}.log"
        with open(log, "wb") as out:
            child = subprocess.Popen(
                [tr.bin_folder() / "tailrace-capture", "run", "--config", config or self.config,
                 "--output", f"file:{log}.events", "--start", "latest", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder)
        child.log = log
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child):
        if child.poll() is None:
            child.kill()
        child.wait()

    def wait_log(self, child, words, times=1, timeout_s=30):
        self.wait_for(lambda: child.log.read_text().count(words) >= times,
                      f"'{words}' in the log", timeout_s)

    def events(self, child):
        path = child.log.with_name(child.log.name + ".events")
        return path.read_text() if path.exists() else ""

    def test_the_same_server_id_ends_the_older_by_name(self):
        config = self.write_config("id", source={"server_id": 4711})
        older = self.start_running(config=config)
        self.wait_log(older, '"event":"reading"')
        newer = self.start_running(config=config)
        self.assertEqual(older.wait(WITHIN_S * 2), 3, older.log.read_text())
        self.assertIn("4711", older.log.read_text())
        self.assertIn("source.server_id", older.log.read_text())
        self.assertIsNone(newer.poll(), "the newcomer is never told")
        newer.send_signal(signal.SIGTERM)
        self.assertEqual(newer.wait(10), 0)

    def test_default_ids_of_two_pipelines_differ(self):
        first = self.start_running()
        self.wait_log(first, '"event":"reading"')
        second = self.start_running(config=self.write_config("second", pipeline="second"))
        self.wait_log(second, '"event":"reading"')
        time.sleep(1.5)
        self.assertIsNone(first.poll(), first.log.read_text())
        self.assertIsNone(second.poll(), second.log.read_text())

    def test_a_killed_dump_and_a_restarted_server_are_taken_up_again(self):
        child = self.start_running()
        self.wait_log(child, '"event":"reading"')
        self.sql("INSERT INTO e.t VALUES (60, 6)")
        self.wait_for(lambda: '"id":60' in self.events(child), "row 60")
        self.kill_dump()
        self.sql("INSERT INTO e.t VALUES (61, 6)")
        self.wait_for(lambda: '"id":61' in self.events(child), "row 61")
        self.stack.stop("mariadb")
        self.wait_log(child, "connecting again")
        self.assertIsNone(child.poll(), child.log.read_text())
        self.stack.start("mariadb")
        self.sql("INSERT INTO e.t VALUES (62, 6)")
        self.wait_for(lambda: '"id":62' in self.events(child), "row 62")
        for n in (60, 61, 62):
            self.assertEqual(self.events(child).count(f'"id":{n},'), 1)
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(10), 0)

    def kill_dump(self):
        tr.kill_dumps(self.sql)

    def test_a_setting_that_goes_wrong_is_told_at_reconnect(self):
        child = self.start_running()
        self.wait_log(child, '"event":"reading"')
        self.with_global("binlog_row_image", "MINIMAL")
        self.kill_dump()
        self.assertEqual(child.wait(15), 3, child.log.read_text())
        self.assertIn("SET GLOBAL binlog_row_image='FULL'", child.log.read_text())

    def test_a_silent_server_is_noticed(self):
        """SIGSTOP leaves the connection open and sends nothing, not even heartbeats."""
        child = self.start_running()
        self.wait_log(child, '"event":"reading"')
        process = self.stack.server("mariadb").process
        process.signal(signal.SIGSTOP)
        self.addCleanup(process.signal, signal.SIGCONT)
        self.wait_log(child, "connecting again", timeout_s=20)
        process.signal(signal.SIGCONT)
        self.sql("INSERT INTO e.t VALUES (70, 7)")
        self.wait_for(lambda: '"id":70' in self.events(child), "row 70")

    def test_unreachable_is_waited_for_and_can_be_stopped(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            config = self.write_config("nobody", source={"port": held.getsockname()[1]})
            child = self.start_running(config=config)
            self.wait_log(child, f"127.0.0.1:{held.getsockname()[1]}", times=2)
            self.assertIsNone(child.poll(), child.log.read_text())
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(10), 0, child.log.read_text())

    def test_the_second_host_is_used_when_the_first_does_not_answer(self):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            dead = f"127.0.0.1:{held.getsockname()[1]}"
            config = self.write_config("hosts", source={"hosts": [dead, self.endpoint]})
            done = self.capture("--output", "stdout", "--stop-at-end", config=config)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(self.endpoint, done.stderr)

    def test_stopping_wakes_an_idle_read_at_once(self):
        child = self.start_running()
        self.wait_log(child, '"event":"reading"')
        time.sleep(0.3)
        begin = time.monotonic()
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(10), 0, child.log.read_text())
        self.assertLess(time.monotonic() - begin, 3)


class NoBinlog(OwnMariaDB):
    extra = ("--skip-log-bin",)

    def test_log_bin_off(self):
        begin = time.monotonic()
        done = self.capture("--output", "stdout", "--start", "latest", timeout_s=30)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("log_bin is OFF", message(done))
        self.assertIn("log_bin=bin", message(done))
        self.assertLess(time.monotonic() - begin, WITHIN_S)


if __name__ == "__main__":
    unittest.main(verbosity=2)
