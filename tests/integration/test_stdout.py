#!/usr/bin/python3
"""tailrace-stdout, the worked example of a store, prints a line for each row change."""

import tr
from test_capture import events

PARTITIONS = 4


class Stdout(tr.Case):
    def lines(self, pipe):
        """What was printed; the program's log goes to the same file."""
        return [line for line in pipe["stdout"].log_text().splitlines()
                if line.startswith('{"op":')]

    def wanted(self, shop):
        """The lines of the first four events of the topic, but for the markers' repeats."""
        versions = [event["version"] for event in events(f"db.{shop}")]
        key = f'"key":{{"database":"{shop}","table":"t","pk.id":1}}'
        return [
            f'{{"op":"write","version":{versions[0]},{key},"row":{{"id":1,"v":"a\\"b"}}}}',
            f'{{"op":"write","version":{versions[1]},{key},"row":{{"id":1,"v":null}}}}',
            f'{{"op":"delete","version":{versions[2]},{key},"row":{{"id":1,"v":null}}}}',
            f'{{"op":"table-truncate","version":{versions[3]},'
            f'"key":{{"database":"{shop}","table":"t"}},"row":null}}']

    def test_the_exact_lines_and_none_again_after_a_stop(self):
        pipe = self.pipeline(stores=["stdout"])
        shop = pipe.database("shop")
        tr.sql(f"CREATE TABLE {shop}.t (id INT PRIMARY KEY, v VARCHAR(20))")
        pipe.start_all()
        # Each is printed before the next is made, or one batch would print only the last.
        for statement, count in (("INSERT INTO {} VALUES (1, 'a\"b')", 1),
                                 ("UPDATE {} SET v = NULL", 2), ("DELETE FROM {}", 3),
                                 ("TRUNCATE TABLE {}", 3 + PARTITIONS)):
            tr.sql(statement.format(f"{shop}.t"))
            tr.wait_until(lambda wanted=count: len(self.lines(pipe)) >= wanted, statement)
        pipe.wait_caught_up()
        wanted = self.wanted(shop)
        wanted += wanted[3:] * (PARTITIONS - 1)  # the marker is in each partition
        self.assertEqual(self.lines(pipe), wanted)
        pipe["stdout"].stop()
        tr.sql(f"INSERT INTO {shop}.t VALUES (2, 'after')")
        pipe["stdout"].start()
        pipe.wait_caught_up()
        lines = self.lines(pipe)
        self.assertEqual(lines[:-1], wanted)
        self.assertIn('"row":{"id":2,"v":"after"}', lines[-1])


if __name__ == "__main__":
    tr.main()
