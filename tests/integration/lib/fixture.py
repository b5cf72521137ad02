"""Starts the servers for a ctest run, and removes them after it: fixture.py up|down FOLDER."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "stack"))

from stack import Stack, StackError  # noqa: E402


def main():
    action, folder = sys.argv[1:]
    servers = Stack(folder)
    try:
        if action == "up":
            servers.up()
        else:
            servers.down(remove=True)
    except StackError as error:
        print(error, file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
