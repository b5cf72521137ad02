#!/usr/bin/python3
"""Makes a golden case's binlog from SQL, on a MariaDB of its own.

    tests/golden/capture/make_case.py NAME [NAME ...]       CASE/case.sql -> CASE/binlog.bin
    tests/golden/capture/make_case.py --expect PROGRAM NAME ...   CASE/expected.jsonl anew

CASE is cases/NAME beside this program. case.sql is run by root with the client in utf8mb4; the
binlog file that it fills is taken as a whole. Lines of it that are meant for us:

    -- server: --log-bin-compress=1      one more option of the server
    -- replace: 6162 c328                afterwards, these bytes by those (as many, in hex), for
                                         content that no server takes by SQL; checksums are renewed

--expect writes what PROGRAM (golden_capture, from the build folder) prints. Read it before you
commit it: it is what every later build is held to.
"""

import argparse
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "deploy" / "stack"))

from stack import Stack  # noqa: E402

MAGIC = b"\xfebin"
HEADER = struct.Struct("<IBIIIH")
FORMAT_DESCRIPTION = 15
FLAG_IN_USE = 1


def directives(sql, name):
    prefix = f"-- {name}:"
    return [line[len(prefix):].strip() for line in sql.splitlines() if line.startswith(prefix)]


def client(server, sql):
    done = subprocess.run(
        ["mariadb", "--no-defaults", "-S", str(server.socket), "-uroot", "-N", "-B",
         "--default-character-set=utf8mb4", "--binary-mode"],
        input=sql.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"make_case: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def record(sql):
    """The bytes of the binlog file that the SQL filled."""
    with tempfile.TemporaryDirectory(prefix="tailrace-golden-", dir="/var/tmp") as folder:
        stack = Stack(folder, say=lambda text: None)
        try:
            stack.up(["mariadb"], extra={"mariadb": directives(sql, "server")})
            server = stack.server("mariadb")
            client(server, "FLUSH BINARY LOGS")
            client(server, sql + "\nFLUSH BINARY LOGS;")
            return (server.data / "bin.000002").read_bytes()
        finally:
            stack.down()


def renew_checksums(log):
    """Sets each event's CRC32 to what its bytes say; for files with checksums only."""
    out, at = bytearray(log), len(MAGIC)
    while at < len(out):
        _, kind, _, length, _, flags = HEADER.unpack_from(out, at)
        body = bytearray(out[at:at + length - 4])
        if kind == FORMAT_DESCRIPTION:
            body[17:19] = struct.pack("<H", flags & ~FLAG_IN_USE)
        struct.pack_into("<I", out, at + length - 4, zlib.crc32(body))
        at += length
    return bytes(out)


def replaced(log, sql):
    changes = directives(sql, "replace")
    for change in changes:
        old, new = (bytes.fromhex(part) for part in change.split())
        if len(old) != len(new) or old not in log:
            sys.exit(f"make_case: 'replace: {change}' does not fit the binlog")
        log = log.replace(old, new)
    return renew_checksums(log) if changes else log


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expect", metavar="PROGRAM", help="write expected.jsonl by it")
    parser.add_argument("names", nargs="+", metavar="NAME")
    options = parser.parse_args()
    for name in options.names:
        folder = HERE / "cases" / name
        if options.expect:
            done = subprocess.run([options.expect, "--print", str(folder)], check=True,
                                  stdout=subprocess.PIPE)
            (folder / "expected.jsonl").write_bytes(done.stdout)
            continue
        sql = (folder / "case.sql").read_text()
        (folder / "binlog.bin").write_bytes(replaced(record(sql), sql))


if __name__ == "__main__":
    main()
