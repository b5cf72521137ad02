"""Debian's own package catalogue as tables: the quickstart's real input.

`apt-cache dumpavail` lists every package that this machine could install. It becomes three
tables of the database `debian`: package (one row each, dependencies and tags as JSON),
maintainer and note.
"""

import json
import os
import re
import subprocess

import pymysql

from fetch import StackError, run_quiet

DATABASE = "debian"
ROWS_PER_INSERT = 1000
# Fewer packages than this mean that apt has no lists yet.
PACKAGES_LIKELY = 10000

TABLES = [
    "CREATE TABLE package (name VARCHAR(150) NOT NULL PRIMARY KEY, version VARCHAR(150) NOT NULL,"
    " architecture VARCHAR(20), section VARCHAR(60), priority ENUM('required', 'important',"
    " 'standard', 'optional', 'extra'), maintainer VARCHAR(255), installed_kb INT UNSIGNED,"
    " size BIGINT UNSIGNED, homepage VARCHAR(500), summary TEXT, depends JSON, tags JSON)"
    " DEFAULT CHARSET=utf8mb4",
    "CREATE TABLE maintainer (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255),"
    " email VARCHAR(255), packages INT UNSIGNED, mean_mb DECIMAL(12,3), share DOUBLE,"
    " seen DATETIME(3)) DEFAULT CHARSET=utf8mb4",
    "CREATE TABLE note (package VARCHAR(150) NOT NULL, number SMALLINT NOT NULL,"
    " body VARCHAR(200), PRIMARY KEY (package, number)) DEFAULT CHARSET=utf8mb4",
]


def read_packages(say):
    """The catalogue as dicts of fields, one per package name."""
    packages = parse(dump())
    if len(packages) < PACKAGES_LIKELY and os.geteuid() == 0:
        say("apt has no package lists yet: apt-get update")
        run_quiet(["apt-get", "-qq", "update"])
        packages = parse(dump())
    if not packages:
        raise StackError("apt-cache dumpavail lists no package; run apt-get update as root", 2)
    return list(packages.values())


def dump():
    done = subprocess.run(["apt-cache", "dumpavail"], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace")


def parse(text):
    """Paragraphs of `Name: value` lines; a line that starts with a blank goes on."""
    packages = {}
    for paragraph in text.split("\n\n"):
        fields = {}
        for line in re.sub(r"\n[ \t]+", " ", paragraph).splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields[name] = value.strip()
        if "Package" in fields and "Version" in fields:
            packages[fields["Package"]] = fields
    return packages


def json_list(text):
    if text is None:
        return None
    return json.dumps([part.strip() for part in text.split(",")], ensure_ascii=False)


def number(text):
    return int(text) if text and text.isdigit() else None


def package_row(fields):
    return (fields["Package"], fields["Version"], fields.get("Architecture"),
            fields.get("Section"), fields.get("Priority"), fields.get("Maintainer"),
            number(fields.get("Installed-Size")), number(fields.get("Size")),
            fields.get("Homepage"), fields.get("Description"), json_list(fields.get("Depends")),
            json_list(fields.get("Tag")))


def load(places, packages):
    """Makes the database anew and fills it; returns the number of rows."""
    link = connect(places)
    with link, link.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        cursor.execute(f"USE {DATABASE}")
        for statement in TABLES:
            cursor.execute(statement)
        rows = [package_row(fields) for fields in packages]
        for first in range(0, len(rows), ROWS_PER_INSERT):
            part = rows[first:first + ROWS_PER_INSERT]
            cursor.executemany("INSERT INTO package VALUES"
                               " (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)", part)
            link.commit()
        cursor.execute(
            "INSERT INTO maintainer (name, email, packages, mean_mb, share, seen)"
            " SELECT TRIM(SUBSTRING_INDEX(maintainer, '<', 1)),"
            " TRIM(TRAILING '>' FROM SUBSTRING_INDEX(maintainer, '<', -1)), COUNT(*),"
            " AVG(size) / 1048576, COUNT(*) / %s, NOW(3) FROM package GROUP BY maintainer",
            (len(rows),))
        cursor.execute("INSERT INTO note SELECT name, 1, CONCAT('first look at ', name)"
                       " FROM package WHERE section = 'editors'")
        link.commit()
    return count_rows(places)


def connect(places, **more):
    return pymysql.connect(host=places["MARIADB_HOST"], port=int(places["MARIADB_PORT"]),
                           user="root", charset="utf8mb4", **more)


def count_rows(places):
    link = connect(places, database=DATABASE)
    with link, link.cursor() as cursor:
        total = 0
        for table in ("package", "maintainer", "note"):
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            total += cursor.fetchone()[0]
    return total
