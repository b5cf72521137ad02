"""Each rule of the lint finds its small bad example, and leaves the good one alone."""

import shutil
import tempfile
import unittest
from pathlib import Path

import reference
import rules
from tree import Tree

GOOD_HEADER = "/* x.h - what it is for. */\n#ifndef TR_X_H\n#define TR_X_H\n#endif\n"


class RuleTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tr_lint_"))
        self.addCleanup(shutil.rmtree, self.folder)

    def check(self, rule, **files):
        """What the rule finds in a tree of these files; "__" in a name is "/", "_D" a dot."""
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_D", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(rules.ALL[rule](Tree(self.folder)))

    def assert_found(self, found, *starts):
        self.assertEqual(len(found), len(starts), found)
        for one, start in zip(found, starts):
            self.assertTrue(one.startswith(start), one)

    def test_foreign_headers(self):
        found = self.check(
            "foreign_headers", capture__encode__a_Dc="#include <mysql.h>\n",
            capture__source__b_Dc="#include <mysql.h>\n",
            consumers__redis__c_Dc="\n#  include <hiredis.h>\n#include <sqlite3.h>\n",
            common__http__d_Dc="#include <curl/curl.h>\n",
            common__json__e_Dc="#include <jansson.h>\n")
        self.assert_found(found, "capture/encode/a.c:1: <mysql.h>",
                          "common/json/e.c:1: <jansson.h>", "consumers/redis/c.c:3: <sqlite3.h>")

    def test_own_includes(self):
        found = self.check(
            "own_includes", common__x__x_Dh=GOOD_HEADER, capture__y__y_Dh=GOOD_HEADER,
            consumers__z__z_Dh=GOOD_HEADER, common__x__x_Dc='#include "y.h"\n',
            capture__y__y_Dc='#include "x.h"\n#include "z.h"\n#include <y.h>\n',
            consumers__z__z_Dc='#include "z.h"\n#include "y.h"\n')
        self.assert_found(found, "capture/y/y.c:2: capture must not include z.h of consumers",
                          "common/x/x.c:1: common must not",
                          "consumers/z/z.c:2: consumers must not")

    def test_named_modules(self):
        found = self.check(
            "named_modules",
            common__x__CMakeLists_Dtxt="tr_library(x SOURCES x.c)\n",
            common__x__x_Dh=GOOD_HEADER, common__x__x_Dc='#include "x.h"\n',
            common__y__CMakeLists_Dtxt="tr_library(y SOURCES y.c # its own\n  DEPENDS x)\n",
            common__y__y_Dh='#include "x.h"\n', common__y__y_Dc='#include "y.h"\n',
            capture__z__CMakeLists_Dtxt="tr_library(z SOURCES z.c w.c USES y LIBS m)\n"
                                        "tr_program(p SOURCES main.c USES z)\n",
            capture__z__z_Dc='#include "y.h"\n#include "x.h"\n#include <x.h>\n',
            capture__z__z_Dh=GOOD_HEADER, capture__z__w_Dc='#include "z.h"\n',
            capture__z__all_Dh='#include "y.h"\n#include "x.h"\n',
            capture__z__main_Dc='#include "z.h"\n#include "y.h"\n')
        self.assert_found(found,
                          "capture/z/all.h:2: x.h is of x: name it in capture/z/CMakeLists.txt, "
                          "z or p",
                          "capture/z/main.c:2: y.h is of y: name it in capture/z/CMakeLists",
                          "capture/z/z.c:2: x.h is of x: name it")

    def test_file_sizes(self):
        long = "int x;\n" * 801
        found = self.check("file_sizes", common__a_Dc=long, common__b_Dgen_Dc=long,
                           common__c_Dc="int x;\n" * 800, tests__run="#!/bin/sh\n" + "x\n" * 800,
                           tests__data="x\n" * 801)
        self.assert_found(found, "common/a.c:800: 801 lines", "tests/run:800: 801 lines")

    def test_function_sizes(self):
        body = "    x();\n"
        fits = "int f(int a,\n      int b)\n{\n" + body * 66 + "}\n"
        long = "int g(int a,\n      int b)\n{\n" + body * 67 + "}\n"
        table = "static const int t[] = {\n" + "    1,\n" * 100 + "};\n"
        python = "def f():\n" + "    x()\n" * 70
        found = self.check("function_sizes", common__a_Dc=table + "\n" + fits + "\n" + long,
                           tests__b_Dpy=python, tests__c="#!/usr/bin/env python3\n" + python)
        self.assert_found(found, "common/a.c:175: 71 lines (70 at most): int g(int a,",
                          "tests/b.py:1: 71 lines", "tests/c:2: 71 lines")

    def test_columns(self):
        found = self.check("columns", common__a_Dc="x" * 101 + "\n" + "\u00e9" * 100 + "\n",
                           tests__run="#!/bin/sh\n" + "x" * 101, tests__data="x" * 101)
        self.assert_found(found, "common/a.c:1: 101 columns", "tests/run:2: 101 columns")

    def test_top_level(self):
        found = self.check("top_level", stray_Dtxt="x", capture__a_Dc="")
        self.assertIn("stray.txt:1: does not belong to the top level", found)
        self.assertIn("LICENSE:1: is missing from the top level", found)
        self.assertEqual(len(found), len(rules.TOP_LEVEL))

    def test_readmes(self):
        found = self.check("readmes", **{f"{top}__README_Dmd": "x" for top in
                                         rules.TOP_FOLDERS if top != "deploy"})
        self.assert_found(found, "deploy/README.md:1: is missing")

    def test_home_paths(self):
        lines = [f"see /{folder}/x" for folder in ("home", "root", "work")]
        lines += ["x/work", "/workers/x", "$HOME/x", "{dir}/root/x"]
        found = self.check("home_paths", common__a_Dc="\n".join(lines))
        self.assert_found(found, *[f"common/a.c:{n}: a path below /" for n in range(1, 4)])

    def test_typedefs(self):
        text = "typedef struct tr_x tr_x;\ntypedef int tr_f(int);\n"
        found = self.check("typedefs", common__a_Dh=text)
        self.assert_found(found, "common/a.h:1: no typedef")

    def test_header_form(self):
        found = self.check("header_form", common__a_Dh=GOOD_HEADER, common__b_Dh="#pragma once\n",
                           common__c_Dc="/* c.c - see b.h. */\n")
        self.assert_found(found, "common/b.h:1: begins with", "common/b.h:1: has no guard")

    def test_formatting(self):
        self.folder.joinpath(".clang-format").write_text("BasedOnStyle: LLVM\n")
        found = self.check("formatting", common__a_Dc="int x;\nint  y;\n", common__b_Dc="int x;\n",
                           common__c_Dgen_Dc="int  x;\n")
        self.assert_found(found, "common/a.c:2: run clang-format")

    def program(self, name, text):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\ncat <<'X'\n{text}X\n")
        path.chmod(0o755)

    def test_reference(self):
        pages = self.folder / "pages"
        pages.mkdir()
        names = ["tailrace-a", "tailrace-b", "tailrace-c"]
        self.program("tailrace-a", "# a\n")
        self.program("tailrace-b", "# b\n")
        self.program("tailrace-c", "line\n" * 61)
        (pages / "tailrace-a.md").write_text("# a\n")
        (pages / "tailrace-c.md").write_text("line\n" * 61)
        (pages / "tailrace-gone.md").write_text("")
        found = list(reference.check(self.folder, pages, names))
        self.assert_found(found, "tailrace-b.md: differs", "tailrace-c: help has 61 lines",
                          "tailrace-gone.md: there is no such program")
        reference.write(self.folder, pages, names)
        found = list(reference.check(self.folder, pages, names))
        self.assert_found(found, "tailrace-c: help has 61 lines")


if __name__ == "__main__":
    unittest.main()
