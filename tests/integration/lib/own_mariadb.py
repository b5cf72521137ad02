"""A MariaDB of the test's own, which it may configure, kill and damage as it likes.

Other servers (Kafka) are the shared ones of tr.stack().
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import pymysql

import tr
from stack import Stack


def quiet(_text):
    """What the stack would say while it works."""


class OwnMariaDB(unittest.TestCase):
    """One server for the tests of a class."""

    extra = ()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="tailrace-own-", dir="/var/tmp"))
        cls.folder.chmod(0o711)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.stack = Stack(cls.folder / "s", say=quiet)
        cls.addClassCleanup(cls.stack.down)
        cls.places = cls.stack.up(["mariadb"], extra={"mariadb": list(cls.extra)})
        cls.data = cls.folder / "s" / "mariadb" / "data"
        cls.config = cls.write_config()

    @classmethod
    def write_config(cls, name="tailrace", **sections):
        """Writes a configuration; sections={"source": {...}} go over the defaults."""
        settings = {
            "pipeline": "own",
            "source": {"host": cls.places["MARIADB_HOST"], "port": int(cls.places["MARIADB_PORT"]),
                       "user": cls.places["MARIADB_USER"],
                       "password_file": cls.places["MARIADB_PASSWORD_FILE"]},
            "kafka": {"bootstrap.servers": "127.0.0.1:1"},
            "capture": {"delivery": "at-least-once"},
        }
        for section, values in sections.items():
            if isinstance(values, dict):
                merged = dict(settings.get(section, {}), **values)
                settings[section] = {key: one for key, one in merged.items() if one is not None}
            else:
                settings[section] = values
        path = cls.folder / f"{name}.yaml"
        path.write_text(json.dumps(settings))
        return path

    @classmethod
    def connect(cls, **more):
        settings = {"host": "127.0.0.1", "port": int(cls.places["MARIADB_PORT"]), "user": "root",
                    "autocommit": True, "charset": "utf8mb4"}
        return pymysql.connect(**dict(settings, **more))

    @classmethod
    def sql(cls, *statements):
        """Runs statements over a connection of their own; returns the rows of the last one."""
        link = cls.connect()
        with link, link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    @classmethod
    def head(cls):
        row = cls.sql("SHOW MASTER STATUS")[0]
        return row[0], int(row[1])

    @classmethod
    def capture(cls, *arguments, config=None, command="run", env=None, timeout_s=60):
        """Runs tailrace-capture to its end."""
        return subprocess.run(
            [tr.bin_folder() / "tailrace-capture", command, "--config", config or cls.config,
             *arguments],
            cwd=cls.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout_s, env=dict(os.environ, **(env or {})), check=False)

    @classmethod
    def read(cls, start, *arguments, config=None, stop=True):
        """The events from `start` (FILE:POS, earliest …) to the present end, as lines."""
        done = cls.capture("--output", "stdout", "--start", start, *arguments,
                           *(["--stop-at-end"] if stop else []), config=config)
        if done.returncode != 0:
            raise AssertionError(f"--start {start}: exit {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout.splitlines()

    @classmethod
    def wait_for(cls, condition, what, timeout_s=30):
        return tr.wait_until(condition, what, timeout_s)


def message(done):
    """The one line that the program says for people, without its log lines."""
    lines = [line for line in done.stderr.splitlines()
             if not re.match(r'^(\{"ts":|ts=|time=|[0-9]{4}-)', line)]
    return "\n".join(lines)
