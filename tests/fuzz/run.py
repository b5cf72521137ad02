"""Builds the fuzz targets with clang and lets each look for inputs that break it:
run.py SECONDS [TARGET…].

New inputs go to a folder of their own below build/fuzz; an input that broke something is named, and
belongs into the target's corpus once the fault is mended, where the unit tests replay it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"


def targets(wanted):
    names = sorted(path.parent.name for path in (ROOT / "tests" / "fuzz").glob("*/CMakeLists.txt"))
    return [name for name in names if not wanted or name in wanted]


def build(names):
    for command in (["cmake", "--preset", "fuzz"],
                    ["cmake", "--build", "--preset", "fuzz", "-j", "2", "--target",
                     *[f"fuzz_{name}" for name in names]]):
        subprocess.run(command, cwd=ROOT, check=True)


def fuzz(name, seconds):
    """Whether the target held."""
    source = ROOT / "tests" / "fuzz" / name
    found = BUILD / f"found-{name}"
    found.mkdir(exist_ok=True)
    dictionary = source / f"{name}.dict"
    options = [f"-dict={dictionary}"] if dictionary.exists() else []
    command = [BUILD / "bin" / f"fuzz_{name}", f"-max_total_time={seconds}", "-timeout=10",
               "-rss_limit_mb=2048", f"-artifact_prefix={found}/", "-verbosity=0",
               "-print_final_stats=1", *options, found, source / "corpus"]
    print(f"--- {name}: {seconds} s", flush=True)
    return subprocess.call(command) == 0


def main():
    seconds, *wanted = sys.argv[1:]
    names = targets(wanted)
    build(names)
    broken = [name for name in names if not fuzz(name, int(seconds))]
    print(f"{len(names)} targets, broken: {', '.join(broken) or 'none'}")
    return 1 if broken or not names else 0


if __name__ == "__main__":
    sys.exit(main())
