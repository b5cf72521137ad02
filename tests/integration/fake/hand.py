"""Topics made by hand: what capture would write, produced record by record by the tests.

`Kafka` is a thin layer over librdkafka (ctypes), `Hand` a pipeline's topics: control records and
events in the formats of schemas/. It shares no code with tailrace.
"""

import ctypes
import json
import subprocess
import uuid
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "schemas" / "examples"
LIB = "librdkafka.so.1"
PRODUCER, CONSUMER = 0, 1
CREATE_TOPICS = 1
VTYPE_END, VTYPE_TOPIC, VTYPE_PARTITION, VTYPE_VALUE, VTYPE_KEY = 0, 1, 3, 4, 5
VTYPE_MSGFLAGS, VTYPE_HEADER = 7, 9
FLAG_COPY = 2
QUEUE_FULL = -184
ANSWER_MS = 20000


class _Partition(ctypes.Structure):
    """rd_kafka_topic_partition_t"""

    _fields_ = [("topic", ctypes.c_char_p), ("partition", ctypes.c_int32),
                ("offset", ctypes.c_int64), ("metadata", ctypes.c_void_p),
                ("metadata_size", ctypes.c_size_t), ("opaque", ctypes.c_void_p),
                ("err", ctypes.c_int), ("private", ctypes.c_void_p)]


class _Partitions(ctypes.Structure):
    """rd_kafka_topic_partition_list_t"""

    _fields_ = [("count", ctypes.c_int), ("size", ctypes.c_int),
                ("elements", ctypes.POINTER(_Partition))]


def _library():
    lib = ctypes.CDLL(LIB)
    pointer = ctypes.c_void_p
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_NewTopic_new",
                 "rd_kafka_queue_new", "rd_kafka_queue_poll", "rd_kafka_AdminOptions_new"):
        getattr(lib, name).restype = pointer
    lib.rd_kafka_new.argtypes = [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]
    lib.rd_kafka_conf_set.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p,
                                      ctypes.c_char_p, ctypes.c_size_t]
    lib.rd_kafka_flush.argtypes = [pointer, ctypes.c_int]
    lib.rd_kafka_poll.argtypes = [pointer, ctypes.c_int]
    lib.rd_kafka_destroy.argtypes = [pointer]
    lib.rd_kafka_NewTopic_new.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int,
                                          ctypes.c_char_p, ctypes.c_size_t]
    lib.rd_kafka_NewTopic_set_config.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p]
    lib.rd_kafka_queue_new.argtypes = [pointer]
    lib.rd_kafka_AdminOptions_new.argtypes = [pointer, ctypes.c_int]
    lib.rd_kafka_CreateTopics.argtypes = [pointer, ctypes.POINTER(pointer), ctypes.c_size_t,
                                          pointer, pointer]
    lib.rd_kafka_queue_poll.argtypes = [pointer, ctypes.c_int]
    partitions = ctypes.POINTER(_Partitions)
    lib.rd_kafka_topic_partition_list_new.restype = partitions
    lib.rd_kafka_topic_partition_list_add.argtypes = [partitions, ctypes.c_char_p, ctypes.c_int32]
    lib.rd_kafka_topic_partition_list_destroy.argtypes = [partitions]
    lib.rd_kafka_committed.argtypes = [pointer, partitions, ctypes.c_int]
    return lib


class Kafka:
    """A producer and topic maker."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.lib = _library()
        self.handle = self.client(PRODUCER, {
            "linger.ms": "2", "queue.buffering.max.messages": "1000000",
            "enable.idempotence": "true"})

    def client(self, kind, settings):
        """A handle of librdkafka's."""
        text = ctypes.create_string_buffer(512)
        conf = self.lib.rd_kafka_conf_new()
        for name, value in {"bootstrap.servers": self.bootstrap, **settings}.items():
            if self.lib.rd_kafka_conf_set(conf, name.encode(), value.encode(), text, 512) != 0:
                raise RuntimeError(text.value.decode())
        handle = self.lib.rd_kafka_new(kind, conf, text, 512)
        if not handle:
            raise RuntimeError(text.value.decode())
        return handle

    def create(self, name, partitions=1, **settings):
        text = ctypes.create_string_buffer(512)
        topic = ctypes.c_void_p(
            self.lib.rd_kafka_NewTopic_new(name.encode(), partitions, 1, text, 512))
        for key, value in settings.items():
            self.lib.rd_kafka_NewTopic_set_config(topic, key.replace("_", ".").encode(),
                                                  str(value).encode())
        queue = self.lib.rd_kafka_queue_new(self.handle)
        options = self.lib.rd_kafka_AdminOptions_new(self.handle, CREATE_TOPICS)
        self.lib.rd_kafka_CreateTopics(self.handle, ctypes.byref(topic), 1, options, queue)
        if not self.lib.rd_kafka_queue_poll(queue, ANSWER_MS):
            raise RuntimeError(f"topic {name} was not created in time")

    def send(self, topic, partition, key, value, headers=()):
        """`value` None is a tombstone; texts are encoded."""
        key = key.encode() if isinstance(key, str) else key
        value = value.encode() if isinstance(value, str) else value
        arguments = [ctypes.c_int(VTYPE_TOPIC), ctypes.c_char_p(topic.encode()),
                     ctypes.c_int(VTYPE_PARTITION), ctypes.c_int32(partition),
                     ctypes.c_int(VTYPE_MSGFLAGS), ctypes.c_int(FLAG_COPY)]
        if key is not None:
            arguments += [ctypes.c_int(VTYPE_KEY), ctypes.c_char_p(key),
                          ctypes.c_size_t(len(key))]
        if value is not None:
            arguments += [ctypes.c_int(VTYPE_VALUE), ctypes.c_char_p(value),
                          ctypes.c_size_t(len(value))]
        for name, text in headers:
            data = text.encode()
            arguments += [ctypes.c_int(VTYPE_HEADER), ctypes.c_char_p(name.encode()),
                          ctypes.c_char_p(data), ctypes.c_ssize_t(len(data))]
        arguments.append(ctypes.c_int(VTYPE_END))
        while True:
            code = self.lib.rd_kafka_producev(ctypes.c_void_p(self.handle), *arguments)
            if code == 0:
                self.lib.rd_kafka_poll(self.handle, 0)
                return
            if code != QUEUE_FULL:
                raise RuntimeError(f"producing to {topic}: error {code}")
            self.lib.rd_kafka_poll(self.handle, 100)

    def flush(self):
        if self.lib.rd_kafka_flush(self.handle, 30000) != 0:
            raise RuntimeError("not all was delivered within 30 s")

    def read(self, topic):
        """All records of a topic as kcat gives them (topic, partition, offset, headers, …)."""
        done = subprocess.run(
            ["kcat", "-C", "-b", self.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-J"],
            capture_output=True, text=True, timeout=60, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def committed(self, group, topic, partitions):
        """partition → the offset that a group has there, None where it has none. It is asked for
        without becoming a member."""
        handle = self.client(CONSUMER, {"group.id": group})
        asked = self.lib.rd_kafka_topic_partition_list_new(partitions)
        for number in range(partitions):
            self.lib.rd_kafka_topic_partition_list_add(asked, topic.encode(), number)
        code = self.lib.rd_kafka_committed(handle, asked, ANSWER_MS)
        answers = asked.contents.elements[:partitions]
        found = {one.partition: one.offset if one.offset >= 0 else None for one in answers}
        code = code or next((one.err for one in answers if one.err != 0), 0)
        self.lib.rd_kafka_topic_partition_list_destroy(asked)
        self.lib.rd_kafka_destroy(handle)
        if code != 0:
            raise RuntimeError(f"asking for the offsets of {group}: error {code}")
        return found

    def close(self):
        self.lib.rd_kafka_flush(self.handle, 5000)
        self.lib.rd_kafka_destroy(self.handle)


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Hand:
    """A pipeline's topics. Versions count up by 10 unless given."""

    def __init__(self, bootstrap, pipeline=None, partitions=4):
        self.kafka = Kafka(bootstrap)
        self.pipeline = pipeline or "h" + uuid.uuid4().hex[:8]
        self.pipeline_id = uuid.uuid4().hex[:16]
        self.partitions = partitions
        self.control = f"tailrace.{self.pipeline}.control"
        self.version = 1000
        self.made = set()

    def next_version(self):
        self.version += 10
        return self.version

    def make_control(self):
        self.kafka.create(self.control, 1, cleanup_policy="compact")

    def checkpoint(self):
        """The example of schemas/, as this pipeline's."""
        key, value = (EXAMPLES / "checkpoint.mariadb.json").read_text().splitlines()[:2]
        value = dict(json.loads(value), pipeline_id=self.pipeline_id, needs_snapshot=[])
        self.kafka.send(self.control, 0, key, compact(value))
        self.kafka.flush()

    def topic(self, name, incarnation=None, create=True):
        if create and name not in self.made:
            self.kafka.create(name, self.partitions)
            self.made.add(name)
        self.kafka.send(self.control, 0, compact(["topic", name]), compact({
            "format": 1, "name": name, "partitions": self.partitions,
            "incarnation": incarnation or uuid.uuid4().hex[:16]}))

    def shape(self, database, table, schema_id, topic):
        columns = [{"name": "id", "type": "int", "nullable": False},
                   {"name": "v", "type": "text", "nullable": True, "length": 65535,
                    "charset": "utf8mb4"}]
        self.kafka.send(self.control, 0, compact(["shape", database, table, schema_id]), compact({
            "format": 1, "database": database, "table": table, "schema_id": schema_id,
            "topic": topic, "columns": columns, "key": ["id"]}))
        self.kafka.flush()

    def start(self, database, table="t", schema_id=100):
        """Everything before the first row; returns the topic."""
        name = f"db.{database}"
        self.make_control()
        self.topic(name)
        self.shape(database, table, schema_id, name)
        self.checkpoint()
        return name

    def key(self, database, table, number):
        return compact({"database": database, "table": table, "pk.id": number})

    def partition_of(self, number):
        """Any will do that is the same for a key."""
        return number % self.partitions

    def row(self, database, table, number, text, kind="insert", version=None, schema_id=100,
            partition=None):
        """One change of row `number`; returns its version."""
        version = self.next_version() if version is None else version
        event = {"database": database, "table": table, "type": kind, "version": version,
                 "schema_id": schema_id, "ts": 1764000000, "xid": version, "commit": True,
                 "data": {"id": number, "v": text}}
        self.kafka.send(f"db.{database}",
                        self.partition_of(number) if partition is None else partition,
                        self.key(database, table, number), compact(event))
        return version

    def tombstone(self, database, table, number, version=None, partition=None):
        headers = [] if version is None else [("tailrace-version", str(version))]
        self.kafka.send(f"db.{database}",
                        self.partition_of(number) if partition is None else partition,
                        self.key(database, table, number), None, headers)

    def marker(self, database, table, kind, version=None):
        """To every partition, as capture does it."""
        version = self.next_version() if version is None else version
        for partition in range(self.partitions):
            self.kafka.send(f"db.{database}", partition,
                            compact({"database": database, "table": table}),
                            compact({"database": database, "table": table, "type": kind,
                                     "version": version, "ts": 1764000000, "xid": version}))
        return version

    def flush(self):
        self.kafka.flush()

    def close(self):
        self.kafka.close()
