"""Runs rules of the lint over the project: lint.py [RULE…]. Exit 1 when there are findings."""

import sys
from pathlib import Path

import rules
from tree import Tree

ROOT = Path(__file__).resolve().parents[2]


def main():
    tree = Tree(ROOT)
    count = 0
    for name in sys.argv[1:] or rules.ALL:
        for finding in rules.ALL[name](tree):
            print(f"{finding} [{name}]")
            count += 1
    print(f"{count} findings in {len(tree.paths)} files")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
