"""Runs clang-tidy over every source of a build: tidy.py BUILD [PATH…]. Findings are errors.

Two at a time; a source that includes what this build has not is an error too.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARALLEL = 2


def sources(build, wanted):
    """The build's own C sources, each once."""
    commands = json.loads((Path(build) / "compile_commands.json").read_text())
    paths = sorted({Path(command["file"]).resolve() for command in commands})
    names = [str(path.relative_to(ROOT)) for path in paths if ROOT in path.parents]
    return [name for name in names if not name.endswith(".gen.c")
            and (not wanted or name.startswith(tuple(wanted)))]


def check(build, name):
    """Each distinct finding of one source."""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, ROOT / name], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    found = [line.replace(f"{ROOT}/", "") for line in done.stdout.splitlines()
             if " error: " in line]
    if done.returncode != 0 and not found:
        found = [f"{name}: clang-tidy failed: {done.stderr.strip()[-300:]}"]
    return found


def main():
    build, *wanted = sys.argv[1:]
    names = sources(build, wanted)
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = sorted({one for result in pool.map(lambda name: check(build, name), names)
                        for one in result})
    print("\n".join(found))
    print(f"{len(found)} findings in {len(names)} sources")
    return 1 if found or not names else 0


if __name__ == "__main__":
    sys.exit(main())
