"""`check` and `status` of the programs, as far as they need no servers."""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

PROGRAMS = ""


def run(store, command, section):
    with tempfile.TemporaryDirectory(prefix="tr_commands_") as folder:
        path = os.path.join(folder, "tailrace.yaml")
        with open(path, "w") as out:
            out.write("pipeline: p\nkafka: {bootstrap.servers: \"127.0.0.1:1\"}\n"
                      "%s: {%s}\n" % (store, section))
        return subprocess.run([os.path.join(PROGRAMS, "tailrace-" + store), command,
                               "--config", path], capture_output=True, text=True, timeout=60)


class Check(unittest.TestCase):
    def check(self, store, rules):
        return run(store, "check", "tables: " + rules)

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


class Running(http.server.BaseHTTPRequestHandler):
    """Tells a status as a running process does."""

    status = {}

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.status).encode())

    def log_message(self, *words):
        pass


class Status(unittest.TestCase):
    def status(self, **more):
        """What `status` prints for people of a process that says this."""
        Running.status = {"pipeline": "p", "consumer": "redis", **more, "partitions": [],
                          "lag": {"records": None, "seconds": None}}
        server = http.server.HTTPServer(("127.0.0.1", 0), Running)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            done = run("redis", "status", "http: {listen: \"127.0.0.1:%d\"}" % server.server_port)
        finally:
            server.shutdown()
            server.server_close()
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_the_trouble_and_since_when(self):
        lines = self.status(state="retrying", trouble="no route to \"cache\"", trouble_s=125)
        self.assertEqual(lines[:2], ["consumer redis of pipeline p: retrying",
                                     'trouble: no route to "cache", for 125 s'])

    def test_trouble_that_began_nobody_knows_when(self):
        lines = self.status(state="waiting", trouble="starting\n\u001b[2Jnow")
        self.assertEqual(lines[1], "trouble: starting  [2Jnow")

    def test_no_trouble(self):
        self.assertNotIn("trouble", " ".join(self.status(state="running")))


if __name__ == "__main__":
    PROGRAMS = sys.argv.pop(1)
    unittest.main()
