#!/usr/bin/python3
"""Holds schemas/ together: every example is valid, in the schema's member order, and compact; every
schema has examples; and examples damaged in ways that matter are refused."""

import copy
import json
import re
import sys
import unittest
from pathlib import Path

import jsonschema

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
RECORDS = ("shape", "topic", "checkpoint", "audit")


def load_schema(name):
    with open(SCHEMAS / f"{name}.schema.json", encoding="utf-8") as text:
        return json.load(text)


def load_example(path):
    """The example as the schema sees it, and its lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    values = [json.loads(line) for line in lines]
    if path.name.split(".")[0] in RECORDS:
        return {"key": values[0], "value": values[1]}, lines
    return values[0], lines


def examples():
    return sorted((SCHEMAS / "examples").glob("*.json"))


def validator(name):
    return jsonschema.Draft202012Validator(load_schema(name))


def misplaced(value, schema):
    """Names of members that stand behind one that the schema lists later."""
    if isinstance(value, list):
        return [name for item in value for name in misplaced(item, schema.get("items", {}))]
    if not isinstance(value, dict):
        return []
    order = list(schema.get("properties", {}))
    known = [name for name in value if name in order]
    wrong = [a for a, b in zip(known, sorted(known, key=order.index)) if a != b]
    for name in known:
        wrong += misplaced(value[name], schema["properties"][name])
    return wrong


class Schemas(unittest.TestCase):
    def test_are_schemas(self):
        for path in SCHEMAS.glob("*.schema.json"):
            jsonschema.Draft202012Validator.check_schema(load_schema(path.name.split(".")[0]))

    def test_have_examples(self):
        named = {path.name.split(".")[0] for path in examples()}
        self.assertEqual(named, {path.name.split(".")[0] for path in SCHEMAS.glob("*.schema.json")})

    def test_every_event_type_has_an_example(self):
        seen = {load_example(path)[0]["type"] for path in examples()
                if path.name.startswith("event.")}
        self.assertEqual(seen, set(load_schema("event")["properties"]["type"]["enum"]))

    def test_readme_names_every_schema(self):
        readme = (SCHEMAS / "README.md").read_text(encoding="utf-8")
        for path in SCHEMAS.glob("*.schema.json"):
            self.assertIn(f"`{path.name}`", readme)


class Examples(unittest.TestCase):
    def test_are_valid(self):
        for path in examples():
            with self.subTest(path.name):
                validator(path.name.split(".")[0]).validate(load_example(path)[0])

    def test_are_compact(self):
        for path in examples():
            for line in load_example(path)[1]:
                with self.subTest(path.name):
                    self.assertNotRegex(STRING.sub("", line), r"\s")

    def test_are_in_order(self):
        for path in examples():
            with self.subTest(path.name):
                self.assertEqual(
                    misplaced(load_example(path)[0], load_schema(path.name.split(".")[0])), [])


class Damaged(unittest.TestCase):
    """Each change makes an example invalid, so the schemas say more than "an object"."""

    CHANGES = (
        ("event.insert", lambda ev: ev.pop("version")),
        ("event.insert", lambda ev: ev.update(version=2**53 + 1)),
        ("event.insert", lambda ev: ev.update(version="1")),
        ("event.insert", lambda ev: ev.pop("data")),
        ("event.insert", lambda ev: ev.pop("schema_id")),
        ("event.insert", lambda ev: ev.update(type="upsert")),
        ("event.insert", lambda ev: ev.update(old={})),
        ("event.insert", lambda ev: ev.update(commit=False)),
        ("event.insert", lambda ev: ev.update(more=1)),
        ("event.update", lambda ev: ev.pop("old")),
        ("event.table-drop", lambda ev: ev.update(data={})),
        ("key.row", lambda key: key.update(id=1)),
        ("key.row", lambda key: key.pop("table")),
        ("shape.orders", lambda rec: rec["value"].update(format=2)),
        ("shape.orders", lambda rec: rec["value"]["columns"][0].update(type="uuid")),
        ("shape.orders", lambda rec: rec["value"].pop("key")),
        ("shape.orders", lambda rec: rec["key"].append(1)),
        ("topic.shop", lambda rec: rec["value"].update(partitions=0)),
        ("topic.shop", lambda rec: rec["value"].update(incarnation="x")),
        ("checkpoint.mariadb", lambda rec: rec["value"]["server"].pop("file_crc")),
        ("checkpoint.mariadb", lambda rec: rec["value"].update(pipeline_id="1")),
        ("audit.reset", lambda rec: rec["value"].update(detail=1)),
        ("dead-letter.store", lambda headers: headers.pop("tailrace-reason")),
        ("dead-letter.store", lambda headers: headers.update({"tailrace-offset": "-1"})),
    )

    def test_are_refused(self):
        for number, (name, change) in enumerate(self.CHANGES):
            with self.subTest(f"{name} {number}"):
                value = copy.deepcopy(load_example(SCHEMAS / "examples" / f"{name}.json")[0])
                change(value)
                self.assertFalse(validator(name.split(".")[0]).is_valid(value))


if __name__ == "__main__":
    sys.exit(unittest.main())
