"""A binlog file as bytes on disk, walked by its event headers: shares no code with tailrace.

    | u32 time | u8 type | u32 server | u32 length | u32 log_pos | u16 flags | body | u32 CRC |

Only what the tests of places and versions need: where events start and end, which of them open and
close groups, and by how much a compressed event inflates.
"""

import struct
from pathlib import Path

MAGIC = b"\xfebin"
HEADER = 19
CHECKSUM = 4

QUERY, STOP, ROTATE, FORMAT, XID, TABLE_MAP = 2, 3, 4, 15, 16, 19
ANNOTATE, CHECKPOINT, GTID, GTID_LIST = 160, 161, 162, 163
QUERY_COMPRESSED = 165
ROWS = {23, 24, 25}
ROWS_COMPRESSED = {166, 167, 168}
UPDATES = {24, 167}
GTID_STANDALONE = 1


class Event:
    """One whole event of a file."""

    def __init__(self, data, start):
        self.start = start
        (self.time, self.type, self.server_id, self.length, self.log_pos,
         self.flags) = struct.unpack_from("<IBIIIH", data, start)
        self.end = start + self.length
        self.body = bytes(data[start + HEADER:self.end - CHECKSUM])

    def query_text(self):
        """| u32 thread | u32 time | u8 db | u16 error | u16 variables | … | db | NUL | text |"""
        database, variables = self.body[8], struct.unpack_from("<H", self.body, 11)[0]
        return self.body[13 + variables + database + 1:]

    def compressed_block(self):
        """Where the | u8 header | length | zlib | of a compressed event begins in its body."""
        if self.type == QUERY_COMPRESSED:
            return self.body[13 + struct.unpack_from("<H", self.body, 11)[0] + self.body[8] + 1:]
        columns = self.body[8]
        assert columns < 251, "tables of the tests have few columns"
        bitmaps = (2 if self.type in UPDATES else 1) * ((columns + 7) // 8)
        return self.body[9 + bitmaps:]

    def inflates_by(self):
        """How much longer the event is uncompressed."""
        if self.type != QUERY_COMPRESSED and self.type not in ROWS_COMPRESSED:
            return 0
        block = self.compressed_block()
        size = block[0] & 7
        return int.from_bytes(block[1:1 + size], "big") - len(block)


class Group:
    """From a GTID event to its end; `whole` is false when the file ends inside it."""

    def __init__(self, start):
        self.start = start
        self.end = None
        self.whole = False


class BinlogFile:
    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.name
        data = self.path.read_bytes()
        assert data[:4] == MAGIC, f"{path} is no binlog"
        self.size = len(data)
        self.events = []
        at = 4
        while at + HEADER <= len(data):
            length = struct.unpack_from("<I", data, at + 9)[0]
            if length < HEADER or at + length > len(data):
                break
            self.events.append(Event(data, at))
            at += length
        self.end = at  # of the last whole event
        self.torn = self.end != self.size

    def inflation_before(self, offset):
        return sum(event.inflates_by() for event in self.events if event.end <= offset)

    def uncompressed_length(self):
        """What the file's versions grow by from its start to its end."""
        return self.end + self.inflation_before(self.end)

    def groups(self):
        found, group, standalone = [], None, False
        for event in self.events:
            if event.type == GTID:
                group = Group(event.start)
                found.append(group)
                standalone = bool(event.body[12] & GTID_STANDALONE)
            elif group is not None and self.closes(event, standalone):
                group.end, group.whole, group = event.end, True, None
        return found

    @staticmethod
    def closes(event, standalone):
        if event.type == XID:
            return True
        if event.type == QUERY_COMPRESSED:
            return standalone
        return event.type == QUERY and (standalone or
                                        event.query_text() in (b"COMMIT", b"ROLLBACK"))

    def boundaries(self):
        """Offsets at which no group is open and an event begins or the file ends."""
        inside = [(group.start, group.end or self.size) for group in self.groups()]
        places = [event.start for event in self.events] + [self.end]
        return [place for place in places
                if not any(start < place < end for start, end in inside)
                and not (self.groups() and not self.groups()[-1].whole and place == self.size)]
