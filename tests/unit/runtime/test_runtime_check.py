"""`check` of the programs, as far as it needs no server."""
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = ""


class Check(unittest.TestCase):
    def check(self, store, rules):
        with tempfile.TemporaryDirectory(prefix="tr_check_") as folder:
            path = os.path.join(folder, "tailrace.yaml")
            with open(path, "w") as out:
                out.write("pipeline: p\nkafka: {bootstrap.servers: \"127.0.0.1:1\"}\n"
                          "%s: {tables: %s}\n" % (store, rules))
            return subprocess.run([os.path.join(PROGRAMS, "tailrace-" + store), "check",
                                   "--config", path], capture_output=True, text=True, timeout=60)

    def test_named_tables_that_would_share_an_index(self):
        done = self.check("elasticsearch",
                          "[{table: shop.a, index: x}, \"log.*\", {table: shop.b, index: x}]")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("would share index x", done.stderr)

    def test_the_settings_that_count_are_those_of_the_last_rule(self):
        done = self.check("elasticsearch", "[shop.a, shop.b, {table: \"shop.*\", index: x}]")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("would share index x", done.stderr)

    def test_named_tables_whose_keys_would_begin_alike(self):
        done = self.check("redis", "{shop.a: {key: \"row:{id}\"}, shop.b: {key: \"row:{no}\"}}")
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("can't be told apart", done.stderr)


if __name__ == "__main__":
    PROGRAMS = sys.argv.pop(1)
    unittest.main()
