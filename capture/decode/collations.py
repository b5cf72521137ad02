#!/usr/bin/python3
"""Writes collations.gen.c: which character set each collation number means.

    capture/decode/collations.py --socket PATH > capture/decode/collations.gen.c

Numbers and names come from a running MariaDB's information_schema; those that only MySQL has are
listed below (MySQL 9's information_schema.COLLATIONS). A number with two meanings is an error.
"""

import argparse
import subprocess
import sys

MYSQL_ONLY = [(76, 76, "utf8mb3"), (248, 250, "gb18030"), (255, 323, "utf8mb4")]
MYSQL_CHARSETS = {"gb18030": 4}
ENCODINGS = {"binary": "BINARY", "ascii": "ASCII", "latin1": "LATIN1", "utf8mb3": "UTF8",
             "utf8mb4": "UTF8"}


def query(socket, sql):
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-S", socket, "-uroot", "-N", "-B", "-e", sql],
        check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def read_server(socket):
    lengths = {name: int(length) for name, length in query(
        socket, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS")}
    ids = {int(number): name for number, name in query(
        socket, "SELECT ID, CHARACTER_SET_NAME"
                " FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")}
    return lengths, ids


def add_mysql(lengths, ids):
    lengths.update(MYSQL_CHARSETS)
    for first, last, name in MYSQL_ONLY:
        for number in range(first, last + 1):
            if ids.setdefault(number, name) != name:
                sys.exit(f"collation {number} is {ids[number]} on MariaDB and {name} on MySQL")


def runs(ids):
    """[first, last, name] of neighbouring numbers with one character set."""
    found = []
    for number in sorted(ids):
        if found and found[-1][1] == number - 1 and found[-1][2] == ids[number]:
            found[-1][1] = number
        else:
            found.append([number, number, ids[number]])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="of a running MariaDB")
    lengths, ids = read_server(parser.parse_args().socket)
    add_mysql(lengths, ids)
    names = sorted(lengths)
    print("/* collations.gen.c - made by collations.py; not to be edited. */")
    print('#include "collations.h"\n')
    print("const struct tr_charset_info tr_charsets[] = {")
    for name in names:
        print(f'    {{"{name}", {lengths[name]}, TR_CHARSET_{ENCODINGS.get(name, "OTHER")}}},')
    print("};\n")
    print("/* First and last number, index into tr_charsets. */")
    print("const struct tr_collation_run tr_collation_runs[] = {")
    for first, last, name in runs(ids):
        print(f"    {{{first}, {last}, {names.index(name)}}}, /* {name} */")
    print("};\n")
    print("const size_t tr_collation_run_count =\n"
          "    sizeof(tr_collation_runs) / sizeof(tr_collation_runs[0]);")


if __name__ == "__main__":
    main()
