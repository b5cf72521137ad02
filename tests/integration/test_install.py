"""What `cmake --install` puts in place: the programs, and an example configuration that is true.

Each program's `check` takes the installed example as it is; only where the servers are comes from
the environment, as the example's head says.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import tr


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.TemporaryDirectory(prefix="tailrace-install-", dir="/var/tmp")
        cls.addClassCleanup(cls.temp.cleanup)
        cls.prefix = Path(cls.temp.name)
        subprocess.run(["cmake", "--install", tr.bin_folder().parent, "--prefix", cls.prefix],
                       check=True, capture_output=True)
        cls.config = cls.prefix / "share" / "doc" / "tailrace" / "tailrace.example.yaml"
        where = tr.places()
        cls.env = dict(
            os.environ, PATH="/usr/bin:/bin",
            TAILRACE_PIPELINE=f"t{os.getpid()}install",
            TAILRACE_SOURCE_HOST=where["MARIADB_HOST"], TAILRACE_SOURCE_PORT=where["MARIADB_PORT"],
            TAILRACE_SOURCE_USER=where["MARIADB_USER"],
            TAILRACE_SOURCE_PASSWORD_FILE=where["MARIADB_PASSWORD_FILE"],
            TAILRACE_KAFKA_BOOTSTRAP_SERVERS=where["KAFKA_BOOTSTRAP"],
            TAILRACE_ELASTICSEARCH_URLS=where["ELASTICSEARCH_URL"],
            TAILRACE_REDIS_URL=where["REDIS_URL"],
            TAILRACE_SQLITE_PATH=str(cls.prefix / "read.db"))

    def run_it(self, *words):
        return subprocess.run([self.prefix / "bin" / "tailrace", *words], env=self.env,
                              capture_output=True, text=True, timeout=60, check=False)

    def test_programs_are_there(self):
        names = sorted(path.name for path in (self.prefix / "bin").iterdir())
        for name in ("tailrace", "tailrace-capture", "tailrace-elasticsearch", "tailrace-redis",
                     "tailrace-sqlite", "tailrace-stdout"):
            self.assertIn(name, names)

    def test_no_configuration_is_overwritten(self):
        names = {path.name for path in self.prefix.rglob("*") if path.is_file()}
        self.assertNotIn("tailrace.yaml", names)

    def test_check_takes_the_example(self):
        tr.sql("CREATE DATABASE IF NOT EXISTS shop",
               "CREATE TABLE IF NOT EXISTS shop.orders (id INT PRIMARY KEY)")
        self.addCleanup(tr.sql, "DROP DATABASE shop")
        for name in ("capture", "sqlite", "redis", "elasticsearch"):
            with self.subTest(name):
                done = self.run_it(name, "check", "--config", str(self.config))
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_status_of_all_while_nothing_runs(self):
        done = self.run_it("status", "--json", "--config", str(self.config))
        self.assertEqual(done.stdout.count('"pipeline"'), 4, done.stdout + done.stderr)

    def test_example_names_every_program(self):
        text = self.config.read_text()
        for section in ("pipeline", "source", "kafka", "capture", "elasticsearch", "redis",
                        "sqlite"):
            self.assertIn(f"\n{section}:", "\n" + text)


if __name__ == "__main__":
    tr.main()
