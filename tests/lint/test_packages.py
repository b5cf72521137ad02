"""README's apt-get line names the packages that deploy/stack installs to build with."""

import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "stack"))

import fetch  # noqa: E402


class PackagesTest(unittest.TestCase):
    def test_the_readme_names_what_a_build_needs(self):
        text = (ROOT / "README.md").read_text().replace("\\\n", " ")
        lines = re.findall(r"^ +apt-get install (?:--no-install-recommends )?(.*)$", text,
                           re.MULTILINE)
        self.assertEqual([sorted(line.split()) for line in lines], [sorted(fetch.BUILD_PACKAGES)])

    def test_each_package_stands_once(self):
        names = fetch.BUILD_PACKAGES + fetch.TEST_PACKAGES
        self.assertEqual(sorted(names), sorted(set(names)))


if __name__ == "__main__":
    unittest.main()
