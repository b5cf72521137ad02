"""tests/run counts what ctest reports: only what ran to its end and was fine has passed."""

import contextlib
import io
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import runner  # noqa: E402

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="(empty)" tests="7">
  <testcase name="fine" status="run"/>
  <testcase name="also_fine" status="run"><system-out>text</system-out></testcase>
  <testcase name="wrong" status="fail"><failure message=""/></testcase>
  <testcase name="left_out" status="notrun"><skipped message="SKIP_RETURN_CODE"/></testcase>
  <testcase name="off" status="disabled"/>
  <testcase name="fixture_stack_up" status="run"/>
  <testcase name="fixture_stack_down" status="fail"><failure message=""/></testcase>
</testsuite>
"""


class RunnerTest(unittest.TestCase):
    def test_count(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as report:
            report.write(REPORT)
            report.flush()
            self.assertEqual(runner.count(report.name), (2, 4))

    def test_labels(self):
        self.assertEqual(runner.parse_arguments([]), runner.LABELS)
        self.assertEqual(runner.parse_arguments(["unit"]), ["unit"])
        self.assertEqual(runner.parse_arguments(["full"]), [*runner.LABELS, "full"])
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
            runner.parse_arguments(["unti"])
        self.assertIn("no label is called 'unti'", said.getvalue())

    def presets(self, labels):
        """What is built, and what is run there, as run() asks for it."""
        built, ran = [], []

        def build(preset):
            built.append(preset)
            return True

        def run_label(preset, label, _totals, _env, left_out):
            ran.append((preset, label, bool(left_out)))

        with unittest.mock.patch.multiple(runner, build=build, run_label=run_label):
            runner.run(labels, runner.Totals())
        return built, ran

    def test_presets(self):
        self.assertEqual(self.presets(["lint"]), (["release"], [("release", "lint", False)]))
        built, ran = self.presets(["unit"])
        self.assertEqual(built, ["release", "asan"])
        self.assertEqual(ran, [("release", "unit", False), ("asan", "unit", False)])
        built, ran = self.presets([*runner.LABELS, "full"])
        self.assertEqual(built, ["release", "asan", "tsan"])
        self.assertEqual(ran[-1], ("tsan", "unit", True))

    def test_warnings_are_errors(self):
        self.assertIn("-DTAILRACE_WERROR=ON", runner.configuring("release"))

    def test_what_is_left_out_exists(self):
        lists = "".join(path.read_text()
                        for path in (ROOT / "tests" / "unit").glob("*/CMakeLists.txt"))
        for name in runner.THREADS_LEFT_OUT:
            self.assertIn(f"tr_test({name} ", lists)

    def test_a_failed_step_shows_what_it_said(self):
        with tempfile.TemporaryDirectory() as folder, \
                contextlib.redirect_stdout(io.StringIO()) as said:
            fine = runner.step("try", ["sh", "-c", "echo because; exit 3"], Path(folder) / "log")
        self.assertFalse(fine)
        self.assertIn("because", said.getvalue())

    def end(self, passed, failed):
        """What main() returns and prints after 75 s in which tests ended so."""
        def run(_labels, totals):
            totals.add(passed, failed)

        with unittest.mock.patch.multiple(runner, prepare=lambda _labels: None, run=run), \
                unittest.mock.patch("time.monotonic", side_effect=[100.0, 175.2]), \
                contextlib.redirect_stdout(io.StringIO()) as said:
            return runner.main(["lint"]), said.getvalue()

    def test_the_last_line_and_the_status(self):
        self.assertEqual(self.end(7, 0), (0, "all of it: 75 s\n7 passed, 0 failed\n"))
        self.assertEqual(self.end(7, 2), (1, "all of it: 75 s\n7 passed, 2 failed\n"))
        self.assertEqual(self.end(0, 2), (1, "all of it: 75 s\n0 passed, 2 failed\n"))

    def test_nothing_that_ran_is_a_failure(self):
        self.assertEqual(self.end(0, 0), (1, "all of it: 75 s\n0 passed, 0 failed\n"))


if __name__ == "__main__":
    unittest.main()
