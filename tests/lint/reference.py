"""Compares each program's `help reference` with its page: reference.py BIN PAGES NAME… [--write].

A page that differs is written anew by `cmake --build build/release --target reference`.
"""

import subprocess
import sys
from pathlib import Path

HELP_LINES_MAX = 60


def said(program, *words):
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=30,
                          check=True).stdout


def check(folder, pages, names):
    for program in (Path(folder) / name for name in names):
        page = Path(pages) / f"{program.name}.md"
        if not page.exists() or page.read_text() != said(program, "help", "reference"):
            yield f"{page.name}: differs from `{program.name} help reference`; write it anew by " \
                  "`cmake --build build/release --target reference`"
        count = said(program, "help").count("\n")
        if count > HELP_LINES_MAX:
            yield f"{program.name}: help has {count} lines ({HELP_LINES_MAX} at most)"
    for page in sorted(Path(pages).glob("*.md")):
        if page.stem not in names and page.stem != "README":
            yield f"{page.name}: there is no such program"


def write(folder, pages, names):
    Path(pages).mkdir(exist_ok=True)
    for page in Path(pages).glob("tailrace*.md"):
        page.unlink()
    for program in (Path(folder) / name for name in names):
        (Path(pages) / f"{program.name}.md").write_text(said(program, "help", "reference"))


def main():
    folder, pages, *names = [word for word in sys.argv[1:] if word != "--write"]
    if "--write" in sys.argv:
        write(folder, pages, names)
    findings = list(check(folder, pages, names))
    print("\n".join(findings))
    return 1 if findings or not names else 0


if __name__ == "__main__":
    sys.exit(main())
