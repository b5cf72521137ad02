"""What MariaDB holds, read by SELECT, and how each column should look in a store.

Part of the comparer: it shares no code with tailrace on purpose. A column is read by an
expression that yields its exact value as text, number or bytes, and has a `kind`, from which each
store's form follows:

  int      exact integer                     text     string
  decimal  number text with the scale kept   binary   bytes (base64 where the store has JSON)
  float    a double                          set      list of labels
  json     a parsed document, see `Number`   big      BIGINT UNSIGNED, BIT beyond 63 bits
"""

import json
import struct
from dataclasses import dataclass, field

import pymysql
import pymysql.cursors

TEMPORAL = {"date", "datetime", "timestamp", "time"}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "uuid", "inet4",
         "inet6"}
BINARIES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
FETCH_ROWS = 2000


class Number(str):
    """A JSON number by its text, so that 1.50 and 1.5 differ and 2^64-1 is exact."""

    __slots__ = ()


class Members(tuple):
    """A JSON object as its members in order, so that order and repeated names count."""

    __slots__ = ()


DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number,
                           object_pairs_hook=Members)


def parse_json(text):
    return DECODER.decode(text)


@dataclass
class Column:
    name: str
    kind: str
    select: str
    convert: object = None
    nullable: bool = True


@dataclass
class Table:
    database: str
    name: str
    columns: list
    key: list
    positions: list = field(default_factory=list)

    @property
    def full_name(self):
        return f"{self.database}.{self.name}"


def quote(name):
    return "`" + name.replace("`", "``") + "`"


def single_text(value):
    """The shortest decimal text that reads back to the same 32-bit float, as a double."""
    if value is None:
        return None
    wanted = struct.pack("f", value)
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("f", short) == wanted:
                return short
        except OverflowError:
            # Rounded up past the largest float: more digits are needed.
            continue
    return value


def json_or_bytes(text):
    """A JSON column's document; text that is no JSON goes by the rule for broken values."""
    if text is None:
        return None
    try:
        return parse_json(text)
    except ValueError:
        return text.encode()


def labels(text):
    if text is None:
        return None
    return text.split(",") if text else []


def as_float(value):
    return None if value is None else float(value)


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


def describe(row, json_columns):
    """The Column for a row of information_schema.columns."""
    name, kind, full, charset = (row[key] for key in ("name", "kind", "full", "charset"))
    ref = quote(name)
    if name in json_columns:
        return Column(name, "json", ref, json_or_bytes, row["nullable"] == "YES")
    if kind in INTEGERS:
        big = kind == "bigint" and "unsigned" in full
        return Column(name, "big" if big else "int", ref)
    if kind == "bit":
        return Column(name, "big" if full == "bit(64)" else "int", f"CAST({ref}+0 AS UNSIGNED)")
    if kind == "year":
        return Column(name, "int", f"CAST({ref} AS UNSIGNED)")
    if kind == "decimal":
        return Column(name, "decimal", f"CAST({ref} AS CHAR)")
    if kind == "float":
        # A FLOAT's own text has six digits; as DOUBLE it has them all.
        return Column(name, "float", f"CAST({ref} AS DOUBLE)", single_text)
    if kind == "double":
        return Column(name, "float", ref, as_float)
    if kind in TEMPORAL:
        return Column(name, "text", f"CAST({ref} AS CHAR)")
    if kind == "set":
        return Column(name, "set", ref, labels)
    if kind in TEXTS and charset != "binary":
        return Column(name, "text", f"CAST({ref} AS CHAR)" if charset is None else ref)
    # Geometry and whatever else there may be: its bytes.
    return Column(name, "binary", ref, as_bytes)


class Source:
    """A connection to MariaDB that sees everything in UTC."""

    def __init__(self, **settings):
        self.link = pymysql.connect(charset="utf8mb4", autocommit=True,
                                    init_command="SET time_zone='+00:00', sql_mode=''", **settings)

    def query(self, sql, *values):
        with self.link.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def tables(self, database):
        """The base tables of a database, each with its columns and key columns."""
        rows = self.query("SELECT table_name AS name FROM information_schema.tables"
                          " WHERE table_schema=%s AND table_type='BASE TABLE' ORDER BY 1", database)
        return [self.table(database, row["name"]) for row in rows]

    def table(self, database, name):
        checks = self.query("SELECT check_clause AS clause FROM information_schema"
                            ".check_constraints WHERE constraint_schema=%s AND table_name=%s"
                            " AND level='Column'", database, name)
        clauses = {row["clause"].lower() for row in checks}
        rows = self.query(
            "SELECT column_name AS name, data_type AS kind, column_type AS full,"
            " character_set_name AS charset, is_nullable AS nullable"
            " FROM information_schema.columns"
            " WHERE table_schema=%s AND table_name=%s ORDER BY ordinal_position", database, name)
        found = {row["name"] for row in rows if f"json_valid({quote(row['name'].lower())})"
                 in clauses}
        table = Table(database, name, [describe(row, found) for row in rows],
                      self.key(database, name))
        self.place_key(table)
        return table

    @staticmethod
    def place_key(table):
        names = [column.name for column in table.columns]
        table.positions = [names.index(name) for name in table.key]

    def key(self, database, name):
        """The primary key, else the narrowest unique key over NOT NULL columns, else nothing."""
        rows = self.query(
            "SELECT index_name AS idx, column_name AS col, nullable, sub_part"
            " FROM information_schema.statistics WHERE table_schema=%s AND table_name=%s"
            " AND non_unique=0 ORDER BY index_name, seq_in_index", database, name)
        keys = {}
        for row in rows:
            keys.setdefault(row["idx"], []).append(row)
        if "PRIMARY" in keys:
            return [row["col"] for row in keys["PRIMARY"]]
        usable = [(len(parts), idx) for idx, parts in keys.items()
                  if not any(part["nullable"] == "YES" or part["sub_part"] for part in parts)]
        return [row["col"] for row in keys[min(usable)[1]]] if usable else []

    def rows(self, table):
        """Every row of a table as a list of values in column order."""
        converts = [(place, column.convert) for place, column in enumerate(table.columns)
                    if column.convert]
        select = ", ".join(column.select for column in table.columns)
        with self.link.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(f"SELECT {select} FROM {quote(table.database)}.{quote(table.name)}")
            while True:
                part = cursor.fetchmany(FETCH_ROWS)
                if not part:
                    return
                for row in part:
                    values = list(row)
                    for place, convert in converts:
                        values[place] = convert(values[place])
                    yield values
