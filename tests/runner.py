"""Builds tailrace and runs its tests by label under ctest; tests/run starts it.

Each step prints one line with how long it took; what a failed step said follows it. The last line
is `N passed, N failed` over all ctest runs, the one before it how long all of it took. A test that
was skipped or could not be run counts as failed, and so does a build that failed and a label
without tests.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "deploy" / "stack"))

import fetch  # noqa: E402

LABELS = ["unit", "golden", "lint", "integration"]
SANITIZED = ["unit", "golden"]
# With label full the unit tests run under TSan too, but for those that start a librdkafka client:
# the library makes its threads by C11's thrd_create, which TSan does not see, and it crashes in the
# first of them.
THREADS_LEFT_OUT = ["test_kafka_consumer", "test_kafka_producer", "test_kafka_properties",
                    "test_kafka_unknown", "test_publish_memory"]
SERVERS = ["mariadb", "kafka", "redis", "elasticsearch"]
PARALLEL = 2
# Tests that only prepare others say nothing about tailrace: they count when they fail.
FIXTURE_PREFIX = "fixture_"


class Totals:
    """What has been counted so far."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def add(self, passed, failed):
        self.passed += passed
        self.failed += failed


def say(text):
    print(text, flush=True)


def step(name, command, log, env=None):
    """Runs a command with its output in a file; shows the end of it when it fails."""
    started = time.monotonic()
    with open(log, "wb") as out:
        code = subprocess.call(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                               stderr=subprocess.STDOUT, env=env)
    say(f"{name}: {'ok' if code == 0 else 'FAILED'} ({time.monotonic() - started:.0f} s)")
    if code != 0:
        lines = log.read_text(errors="replace").splitlines()
        say("\n".join(lines[-60:]))
        say(f"(all of it: {log})")
    return code == 0


def configuring(preset):
    """The command; whatever the folder was configured with before, warnings are errors."""
    stack = os.environ.get("TAILRACE_STACK_DIR", "")
    return ["cmake", "--preset", preset, f"-DTAILRACE_TEST_STACK={stack}", "-DTAILRACE_WERROR=ON"]


def build(preset):
    """Configures and builds build/<preset>."""
    folder = ROOT / "build" / preset
    folder.mkdir(parents=True, exist_ok=True)
    return (step(f"configure {preset}", configuring(preset), folder / "configure.log") and
            step(f"build {preset}", ["cmake", "--build", "--preset", preset, "-j", str(PARALLEL)],
                 folder / "build.log"))


def count(report):
    """Passed and failed tests of a JUnit file; nothing that did not run to its end has passed."""
    passed = failed = 0
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        fine = case.get("status") == "run" and case.find("failure") is None \
            and case.find("skipped") is None
        if fine and case.get("name", "").startswith(FIXTURE_PREFIX):
            continue
        passed += fine
        failed += not fine
    return passed, failed


def run_label(preset, label, totals, env, left_out=()):
    """One ctest run. Servers are shared, so only tests without any run side by side."""
    folder = ROOT / "build" / preset
    report = folder / f"report-{label}.xml"
    report.unlink(missing_ok=True)
    parallel = PARALLEL if label in ("unit", "golden") else 1
    command = ["ctest", "--test-dir", str(folder), "-L", f"^{label}$", "--no-tests=error",
               "--output-on-failure", "--output-junit", str(report), "-j", str(parallel)]
    if left_out:
        command += ["-E", f"^({'|'.join(left_out)})$"]
    fine = step(f"{label} ({preset})", command, folder / f"{label}.log", env)
    passed, failed = count(report) if report.exists() else (0, 0)
    if not fine and failed == 0:
        failed = 1
    totals.add(passed, failed)
    say(f"  {passed} passed, {failed} failed")


def run_preset(preset, labels, totals, env, left_out=()):
    """Builds it and runs the labels there; a build that failed counts as a failed test."""
    if not labels:
        return
    if not build(preset):
        totals.add(0, 1)
        return
    for label in labels:
        run_label(preset, label, totals, env, left_out)


def run(labels, totals):
    env = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1")
    full = "full" in labels
    if full:
        env["TAILRACE_TEST_FULL"] = "1"
    run_preset("release", labels, totals, env)
    run_preset("asan", [label for label in labels if label in SANITIZED], totals, env)
    run_preset("tsan", ["unit"] if full else [], totals, env, THREADS_LEFT_OUT)


def prepare(labels):
    """Packages, and the servers' artefacts where servers are used."""
    fetch.install_packages(fetch.BUILD_PACKAGES + fetch.TEST_PACKAGES +
                           fetch.packages_for(SERVERS), say)
    if "integration" in labels or "full" in labels:
        fetch.fetch_artefacts(SERVERS, say)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="tests/run", description="Builds tailrace and runs its tests.",
        epilog="Without a label: " + ", ".join(LABELS) + ". `full` is all of these in their long "
               "forms and the tests that only run then. $TAILRACE_STACK_DIR names a stack of "
               "servers to use instead of starting one.")
    parser.add_argument("labels", nargs="*", metavar="LABEL", help=", ".join([*LABELS, "full"]))
    labels = parser.parse_args(argv).labels or LABELS
    for label in labels:
        if label not in [*LABELS, "full"]:
            parser.error(f"no label is called '{label}'; there are {', '.join(LABELS)}, full")
    return [*LABELS, "full"] if "full" in labels else labels


def main(argv=None):
    labels = parse_arguments(argv)
    totals = Totals()
    started = time.monotonic()
    try:
        prepare(labels)
        run(labels, totals)
    except fetch.StackError as error:
        print(f"tests/run: {error}", file=sys.stderr)
        return error.status
    say(f"all of it: {time.monotonic() - started:.0f} s")
    say(f"{totals.passed} passed, {totals.failed} failed")
    return 0 if totals.failed == 0 and totals.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
