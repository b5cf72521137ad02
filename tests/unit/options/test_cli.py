"""The front program: runs others by name, with stand-ins for them beside it and in PATH."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TAILRACE = ""


class FrontProgram(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="tr_cli_")
        self.addCleanup(shutil.rmtree, self.folder)
        self.beside = os.path.join(self.folder, "bin")
        self.in_path = os.path.join(self.folder, "path")
        for folder in (self.beside, self.in_path):
            os.mkdir(folder)
        self.program = shutil.copy(TAILRACE, self.beside)
        self.config = os.path.join(self.folder, "tailrace.yaml")

    def stand_in(self, folder, name, code=0):
        path = os.path.join(folder, "tailrace-" + name)
        with open(path, "w") as out:
            out.write('#!/bin/sh\necho "%s:" "$@"\nexit %d\n' % (name, code))
        os.chmod(path, 0o755)

    def run_it(self, *words):
        environment = {"PATH": self.in_path + ":/usr/bin:/bin"}
        return subprocess.run([self.program, *words], env=environment, cwd=self.folder,
                              capture_output=True, text=True, timeout=30)

    def test_runs_the_program_beside_it_with_its_words(self):
        self.stand_in(self.beside, "redis", 5)
        result = self.run_it("redis", "run", "--config", "a b")
        self.assertEqual(result.stdout, "redis: run --config a b\n")
        self.assertEqual(result.returncode, 5)

    def test_the_one_beside_it_comes_before_the_one_in_path(self):
        self.stand_in(self.in_path, "redis", 1)
        self.assertEqual(self.run_it("redis", "run").returncode, 1)
        self.stand_in(self.beside, "redis", 0)
        self.assertEqual(self.run_it("redis", "run").returncode, 0)

    def test_runs_a_program_that_it_does_not_know(self):
        self.stand_in(self.in_path, "another")
        self.assertEqual(self.run_it("another", "check").stdout, "another: check\n")

    def test_help_of_a_program(self):
        self.stand_in(self.beside, "sqlite")
        self.assertEqual(self.run_it("help", "sqlite").stdout, "sqlite: help\n")
        self.assertEqual(self.run_it("help", "sqlite", "all").stdout, "sqlite: help all\n")

    def test_unknown_name_gives_the_nearest(self):
        result = self.run_it("redsi", "run")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr,
                         "tailrace: unknown command 'redsi'; did you mean 'redis'?\n")

    def test_help_on_an_unknown_name_gives_the_nearest(self):
        result = self.run_it("help", "redsi")
        self.assertEqual((result.returncode, result.stderr),
                         (1, "tailrace: no help on 'redsi'; did you mean 'redis'?\n"))

    def test_missing_program(self):
        result = self.run_it("redis", "run")
        self.assertEqual(result.returncode, 1)
        self.assertIn("tailrace-redis is neither beside this program nor in PATH", result.stderr)

    def test_status_asks_those_with_a_section_and_keeps_the_first_failure(self):
        for name, code in (("capture", 0), ("redis", 5), ("sqlite", 6), ("elasticsearch", 0),
                           ("stdout", 0), ("another", 0)):
            self.stand_in(self.beside, name, code)
        with open(self.config, "w") as out:
            out.write("pipeline: p\nsource: {}\nnobody: {}\nredis: {}\nsqlite: {}\n"
                      "stdout: {}\nanother: {}\n")
        result = self.run_it("status", "--config", self.config)
        self.assertEqual(result.stdout.split("\n"), [
            "capture", "capture: status --config " + self.config, "",
            "redis", "redis: status --config " + self.config, "",
            "sqlite", "sqlite: status --config " + self.config, "",
            "stdout", "stdout: status --config " + self.config, "",
            "another", "another: status --config " + self.config, ""])
        self.assertEqual(result.returncode, 5)
        self.assertEqual(result.stderr, "tailrace: tailrace-redis status: exit 5\n")

    def test_status_asks_capture_once(self):
        self.stand_in(self.beside, "capture")
        with open(self.config, "w") as out:
            out.write("source: {}\ncapture: {}\n")
        self.assertEqual(self.run_it("status", "--json").stdout.count("capture:"), 1)

    def test_status_names_the_section_that_a_slip_means(self):
        with open(self.config, "w") as out:
            out.write("redis: {}\nelasticserach: {}\n")
        result = self.run_it("status", "--config", self.config)
        self.assertEqual(result.returncode, 2)
        self.assertIn("tailrace.yaml:2: unknown section 'elasticserach'; "
                      "did you mean 'elasticsearch'?", result.stderr)

    def test_status_as_json_is_only_what_the_programs_print(self):
        self.stand_in(self.beside, "redis")
        with open(self.config, "w") as out:
            out.write("redis: {}\n")
        result = self.run_it("status", "--json")
        self.assertEqual(result.stdout, "redis: status --config ./tailrace.yaml --json\n")
        self.assertEqual(result.returncode, 0)

    def test_status_without_any_section(self):
        with open(self.config, "w") as out:
            out.write("pipeline: p\n")
        result = self.run_it("status")
        self.assertEqual(result.returncode, 2)
        self.assertIn("has no section of a program: capture, elasticsearch, redis, sqlite, stdout",
                      result.stderr)

    def test_help_fits_a_screen(self):
        result = self.run_it("help")
        self.assertEqual(result.returncode, 0)
        self.assertLessEqual(result.stdout.count("\n"), 60)
        for name in ("capture", "elasticsearch", "redis", "sqlite", "stdout", "status"):
            self.assertIn("\n  %s " % name, result.stdout)
        self.assertEqual(self.run_it().returncode, 1)


if __name__ == "__main__":
    TAILRACE = sys.argv.pop(1)
    unittest.main()
