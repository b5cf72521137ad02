#!/usr/bin/python3
"""TLS to the source: required, verify_ca, verify_identity; a wrong authority and a wrong name are
refused; a server without TLS is refused when TLS is asked for."""

import signal
import subprocess
import time
import unittest

import tr
from own_mariadb import OwnMariaDB, message


class Tls(OwnMariaDB):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The certificate is for localhost and 127.0.0.1; this is the same place by another name.
        cls.other_name = "127.1"
        cls.ca = cls.places["MARIADB_CA"]
        cls.wrong_ca = cls.places["MARIADB_WRONG_CA"]
        cls.sql("CREATE DATABASE e", "CREATE TABLE e.t (id INT PRIMARY KEY, v INT)")
        # An account that the server lets in over TLS only: so a success proves that TLS was used.
        cls.sql("CREATE USER tls@'%' IDENTIFIED BY 'tls' REQUIRE SSL",
                "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO tls@'%'")

    def run_with(self, host="127.0.0.1", **tls):
        config = self.write_config("tls", source={
            "host": host, "user": "tls", "password_file": None, "password": "tls", "tls": tls})
        place = "{}:{}".format(*self.head())
        # Another value each time: replacing a row by itself logs nothing.
        self.sql(f"REPLACE INTO e.t VALUES (1, {time.monotonic_ns() % 10**9})")
        begin = time.monotonic()
        done = self.capture("--output", "stdout", "--stop-at-end", "--start", place,
                            config=config, timeout_s=30)
        self.took_s = time.monotonic() - begin
        return done

    def assert_reads(self, **how):
        done = self.run_with(**how)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"table":"t"', done.stdout)

    def assert_refused(self, word, code=3, **how):
        done = self.run_with(**how)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertIn(word, message(done))
        self.assertEqual(message(done).count("\n"), 0)
        self.assertLess(self.took_s, 5)

    def test_without_tls_the_account_is_refused(self):
        self.assert_refused("Access denied", mode="disabled")

    def test_preferred_and_required(self):
        self.assert_reads(mode="preferred")
        self.assert_reads(mode="required")

    def test_verify_ca(self):
        self.assert_reads(mode="verify_ca", ca=self.ca)
        self.assert_reads(mode="verify_ca", ca=self.ca, host=self.other_name)
        self.assert_refused("certificate", mode="verify_ca", ca=self.wrong_ca)
        self.assert_refused("source.tls.ca", mode="verify_ca", code=2)

    def test_verify_identity(self):
        self.assert_reads(mode="verify_identity", ca=self.ca)
        self.assert_reads(mode="verify_identity", ca=self.ca, host="localhost")
        self.assert_refused("certificate", mode="verify_identity", ca=self.ca,
                            host=self.other_name)
        self.assert_refused("certificate", mode="verify_identity", ca=self.wrong_ca)
        self.assert_refused("certificate", mode="verify_identity")

    def test_a_given_authority_is_checked_in_every_mode(self):
        self.assert_refused("certificate", mode="required", ca=self.wrong_ca)
        self.assert_refused("source.tls.mode", mode="disabled", ca=self.ca, code=2)

    def test_a_file_that_is_not_there(self):
        self.assert_refused("No such file", mode="required", ca="/nowhere/ca.pem")

    def test_a_large_transaction_and_a_stop_over_tls(self):
        """Signals must not break the connection, nor the stop hang in it."""
        config = self.write_config("long", source={
            "user": "tls", "password_file": None, "password": "tls",
            "tls": {"mode": "verify_identity", "ca": self.ca}})
        place = "{}:{}".format(*self.head())
        self.sql("CREATE TABLE IF NOT EXISTS e.l (id INT PRIMARY KEY, t TEXT)",
                 "REPLACE INTO e.l SELECT seq, REPEAT('x', 900) FROM e.seq_1_to_20000")
        with open(self.folder / "long.log", "wb") as log:
            child = subprocess.Popen(
                [tr.bin_folder() / "tailrace-capture", "run", "--config", config, "--output",
                 f"file:{self.folder}/long.events", "--start", place],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        events = self.folder / "long.events"
        try:
            self.wait_for(lambda: events.exists() and events.read_text().count("\n") == 20000,
                          "20,000 rows", 60)
            self.assertNotIn("connecting again", (self.folder / "long.log").read_text())
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(10), 0)
        finally:
            child.kill()
            child.wait()


class NoTls(OwnMariaDB):
    extra = ("--skip-ssl",)

    def test_a_server_without_tls(self):
        for mode in ("required", "verify_ca", "verify_identity"):
            config = self.write_config("tls", source={
                "tls": {"mode": mode, "ca": self.places["MARIADB_CA"]}})
            done = self.capture("--output", "stdout", "--start", "latest", config=config,
                                timeout_s=30)
            self.assertEqual(done.returncode, 3, f"{mode}: {done.stderr}")
            self.assertRegex(message(done), "TLS|SSL")
        config = self.write_config("tls", source={"tls": {"mode": "required"}})
        done = self.capture("--output", "stdout", "--start", "latest", config=config, timeout_s=30)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("offers no TLS", message(done))
        config = self.write_config("tls", source={"tls": {"mode": "preferred"}})
        done = self.capture("--output", "stdout", "--stop-at-end", config=config, timeout_s=30)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
