#!/usr/bin/python3
"""Makes the fuzzer's corpus from the golden cases' binlogs: their events, without checksums.

    tests/fuzz/event/make_corpus.py
"""

import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parents[1] / "golden" / "capture" / "cases"
HEADER = struct.Struct("<IBIIIH")
CHOICE = b"\x05"
FORMAT_DESCRIPTION, QUERY, GTID, GTID_LIST, TABLE_MAP = 15, 2, 162, 163, 19
KEPT = {FORMAT_DESCRIPTION, QUERY, 165, GTID, GTID_LIST, TABLE_MAP, 23, 24, 25, 166, 167, 168}


def events(log):
    """Each event's bytes without its checksum, which only a format description always has."""
    at, checksum = 4, 4
    while at < len(log):
        _, kind, _, length, _, _ = HEADER.unpack_from(log, at)
        if kind == FORMAT_DESCRIPTION:
            checksum = 4 if log[at + length - 5] == 1 else 0
            yield kind, log[at:at + length]
        else:
            event = bytearray(log[at:at + length - checksum])
            struct.pack_into("<I", event, 9, len(event))
            yield kind, bytes(event)
        at += length


def main():
    for case in sorted(CASES.iterdir()):
        kept = [event for kind, event in events((case / "binlog.bin").read_bytes()) if kind in KEPT]
        (HERE / "corpus" / case.name).write_bytes(CHOICE + b"".join(kept))


if __name__ == "__main__":
    main()
