#!/usr/bin/python3
"""Compares every row and column of a database with what the stores hold.

It shares no code with tailrace: MariaDB is read by SELECT, each store by a client of its own.
Rows that the store lacks, rows that differ and rows that the store should not have are counted
per table and store, with examples. Exit 0: all equal; 7: something differs; 1: usage; 3: the
source, 5: a store cannot be read.

  compare.py --endpoints /var/tmp/tailrace-stack/endpoints.env --database shop --sqlite read.db
"""

import argparse
import os
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pymysql

from source import Source
from stores import Elasticsearch, Redis, Sqlite, StoreError

# A store's name, and how it is opened: (options, endpoints) -> what compare_all reads.
STORES = {
    "sqlite": lambda options, _: Sqlite(os.path.abspath(options.sqlite)),
    "redis": lambda options, places: Redis(places["REDIS_URL"], options.redis_key),
    "elasticsearch": lambda options, places: Elasticsearch(places["ELASTICSEARCH_URL"],
                                                           options.es_index),
}


@dataclass
class Result:
    """One table in one store."""

    table: str
    store: str
    rows: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0
    examples: list = field(default_factory=list)

    def equal(self):
        return not (self.missing or self.different or self.extra)

    def note(self, limit, text):
        if len(self.examples) < limit:
            self.examples.append(f"{self.store} {self.table}: {text}")


def compare_table(table, rows, store, limit):
    """Compares the source's `rows` of a table with the store's."""
    result = Result(table.full_name, store.name, rows=len(rows))
    wanted = {store.key(table, row): row for row in rows}
    if len(wanted) != len(rows):
        result.different += len(rows) - len(wanted)
        result.note(limit, "several source rows have one key in the store")
    for key, got in store.rows(table):
        row = wanted.pop(key, None)
        if row is None:
            result.extra += 1
            result.note(limit, f"extra row {key}")
            continue
        text = store.difference(table, row, got)
        if text:
            result.different += 1
            result.note(limit, f"row {key}: {text}")
    result.missing = len(wanted)
    for key in list(wanted)[:limit]:
        result.note(limit, f"missing row {key}")
    return result


def compare_all(options, source, stores):
    """All results for the tables and stores asked for."""
    results = []
    for store in stores:
        store.refresh()
    for database in options.database:
        tables = source.tables(database)
        for table in tables:
            if table.full_name in options.key:
                table.key = options.key[table.full_name].split(",")
                source.place_key(table)
            if table.full_name in options.exclude or (
                    options.table and table.full_name not in options.table):
                continue
            if not table.key:
                print(f"{table.full_name}: has no key, not compared")
                continue
            rows = list(source.rows(table))
            results += [compare_table(table, rows, store, options.examples) for store in stores]
        if not options.table:
            results += stranger_results(database, tables, stores)
    return results


def stranger_results(database, tables, stores):
    results = []
    for store in stores:
        for name, count in store.strangers(database, tables).items():
            result = Result(name, store.name, extra=count)
            result.note(1, f"{count} rows of a table that the source has not")
            results.append(result)
    return results


def print_results(results):
    width = max([len(result.table) for result in results] + [5])
    print(f"{'table':{width}}  {'store':13}  {'rows':>9}  {'missing':>8}  {'different':>9}  "
          f"{'extra':>7}")
    for result in results:
        print(f"{result.table:{width}}  {result.store:13}  {result.rows:9}  {result.missing:8}  "
              f"{result.different:9}  {result.extra:7}")
    for result in results:
        for text in result.examples:
            print("  " + text)
    bad = sum(not result.equal() for result in results)
    print(f"{len(results) - bad} of {len(results)} equal" if bad else
          f"equal: {len(results)} comparisons, {sum(result.rows for result in results)} rows")


def read_endpoints(path):
    found = {}
    for line in Path(path).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name] = "".join(shlex.split(value))
    return found


def pairs(values, what):
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            sys.exit(f"compare: {what} wants 'db.table=…', got '{text}'")
        found[name] = value
    return found


class Parser(argparse.ArgumentParser):
    """Usage errors end with 1, as they do everywhere in tailrace."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(1, f"compare: {message}\n")


def parse_arguments(argv):
    parser = Parser(
        prog="compare.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--endpoints", required=True, help="the stack's endpoints.env")
    parser.add_argument("--database", nargs="+", action="extend", required=True)
    parser.add_argument("--stores", default=",".join(STORES), help="default: all three")
    parser.add_argument("--table", action="append", default=[], metavar="DB.TABLE",
                        help="only this table (may be repeated)")
    parser.add_argument("--exclude", action="append", default=[], metavar="DB.TABLE")
    parser.add_argument("--sqlite", metavar="PATH", help="the SQLite consumer's path")
    parser.add_argument("--redis-key", action="append", default=[], metavar="DB.TABLE=TEMPLATE")
    parser.add_argument("--es-index", action="append", default=[], metavar="DB.TABLE=ALIAS")
    parser.add_argument("--key", action="append", default=[], metavar="DB.TABLE=COLUMN,COLUMN",
                        help="key columns of a table without a usable key")
    parser.add_argument("--user", default="root")
    parser.add_argument("--password-file")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS",
                        help="try again until all is equal or the time is over")
    parser.add_argument("--examples", type=int, default=3)
    options = parser.parse_args(argv)
    options.stores = [name for name in options.stores.split(",") if name]
    for name in options.stores:
        if name not in STORES:
            parser.error(f"no store is called '{name}'; there are {', '.join(STORES)}")
    if "sqlite" in options.stores and not options.sqlite:
        parser.error("--sqlite PATH is needed to compare sqlite")
    options.redis_key = pairs(options.redis_key, "--redis-key")
    options.es_index = pairs(options.es_index, "--es-index")
    options.key = pairs(options.key, "--key")
    return options


def open_source(options, places):
    password = Path(options.password_file).read_text().strip() if options.password_file else ""
    return Source(host=places["MARIADB_HOST"], port=int(places["MARIADB_PORT"]),
                  user=options.user, password=password)


def run(options):
    places = read_endpoints(options.endpoints)
    end = time.monotonic() + options.wait
    while True:
        try:
            source = open_source(options, places)
            stores = [STORES[name](options, places) for name in options.stores]
            results = compare_all(options, source, stores)
        except StoreError as error:
            if time.monotonic() >= end:
                raise
            results = None
            problem = error
        if results is not None and all(result.equal() for result in results):
            break
        if time.monotonic() >= end:
            break
        time.sleep(1 if results is not None else 2)
    if results is None:
        raise problem
    if not results:
        print("nothing to compare: no table with a key in " + ", ".join(options.database))
        return 7
    print_results(results)
    return 0 if all(result.equal() for result in results) else 7


def main(argv=None):
    options = parse_arguments(argv)
    try:
        return run(options)
    except pymysql.MySQLError as error:
        print(f"compare: the source cannot be read: {error}", file=sys.stderr)
        return 3
    except StoreError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 5
    except (KeyError, OSError) as error:
        print(f"compare: {options.endpoints}: {error!r}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
