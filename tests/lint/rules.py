"""The rules of the lint: functions of a Tree that yield findings, "path:line: what"."""

import ast
import re
import subprocess

from modules import owners, read_modules

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# Who may include whose header; everybody else goes through that module.
FOREIGN_HEADERS = {
    "mysql.h": ("capture/source/", "capture/snapshot/"),
    "librdkafka/rdkafka.h": ("common/kafka/",),
    "curl/curl.h": ("common/http/",),
    "microhttpd.h": ("common/http/",),
    "hiredis/hiredis.h": ("consumers/redis/",),
    "sqlite3.h": ("consumers/sqlite/", "consumers/notify/"),
    "yaml.h": ("common/options/",),
    # A tree of objects per value is too slow for rows: only what reads answers and small records.
    "jansson.h": (),
}
HEADER_NAMES = {
    "mysql.h": "mysql.h", "mysql/mysql.h": "mysql.h", "mariadb/mysql.h": "mysql.h",
    "rdkafka.h": "librdkafka/rdkafka.h", "curl.h": "curl/curl.h",
    "hiredis.h": "hiredis/hiredis.h", "hiredis/hiredis_ssl.h": "hiredis/hiredis.h",
}
MAY_INCLUDE = {
    "common": {"common"},
    "capture": {"capture", "common"},
    "consumers": {"consumers", "common"},
}
TOP_LEVEL = {
    "CMakeLists.txt", "capture", "consumers", "common", "schemas", "tests", "deploy", "README.md",
    ".ci", ".clang-format", ".clang-tidy", ".gitignore", "CMakePresets.json", "LICENSE",
    "CHANGELOG.md",
}
TOP_FOLDERS = ("capture", "consumers", "common", "schemas", "tests", "deploy")
INCLUDE = re.compile(r'\s*#\s*include\s*(<([^>]+)>|"([^"]+)")')
HOME_PATH = re.compile(r"(?<![\w./)}\]-])/(home|root|work)/")


def includes(tree, path):
    """(line, header, is it in quotes) of each include."""
    for number, line in enumerate(tree.lines(path), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(2) or found.group(3), found.group(3) is not None


def foreign_headers(tree):
    """A library's header is included by its own module alone."""
    for path in tree.c_files("common", "capture", "consumers"):
        for number, header, _ in includes(tree, path):
            allowed = FOREIGN_HEADERS.get(HEADER_NAMES.get(header, header))
            if allowed is not None and not path.startswith(allowed):
                where = " and ".join(allowed) or "tests"
                yield f"{path}:{number}: <{header}> may be included only in {where}"


def own_includes(tree):
    """common knows nothing of capture and consumers, and these two nothing of one another."""
    owners = {}
    for path in tree.c_files():
        owners.setdefault(path.split("/")[-1], set()).add(path.split("/")[0])
    for path in tree.c_files("common", "capture", "consumers"):
        top = path.split("/")[0]
        for number, header, quoted in includes(tree, path):
            tops = owners.get(header.split("/")[-1], set())
            if quoted and tops and not tops & MAY_INCLUDE[top]:
                yield f"{path}:{number}: {top} must not include {header} of {', '.join(tops)}"


def named_modules(tree):
    """A file includes only headers of modules that its own module names, whatever else it can see
    through those."""
    modules = read_modules(tree, "common", "capture", "consumers")
    headers = {}
    for path in tree.c_files("common", "capture", "consumers"):
        if path.endswith(".h"):
            headers.setdefault(path.split("/")[-1], []).append(path)
    for path in tree.c_files("common", "capture", "consumers"):
        mine = owners(modules, path)
        folder = path.rpartition("/")[0]
        for number, header, quoted in includes(tree, path):
            found = headers.get(header, []) if quoted else []
            found = [one for one in found if one == f"{folder}/{header}"] or found
            theirs = {module.name for one in found for module in owners(modules, one)}
            if theirs and not any(theirs & module.named for module in mine):
                yield (f"{path}:{number}: {header} is of {' or '.join(sorted(theirs))}: name it in "
                       f"{folder}/CMakeLists.txt, {' or '.join(module.name for module in mine)}")


def file_sizes(tree):
    for path in tree.written(".c", ".h", ".py", ".sh", ".txt", ".lua"):
        if path.startswith(("tests/golden/", "tests/fuzz/")) and path.endswith(".txt"):
            continue
        count = len(tree.lines(path))
        if count > FILE_LINES_MAX:
            yield f"{path}:{FILE_LINES_MAX}: {count} lines ({FILE_LINES_MAX} at most); split it"


def c_functions(lines):
    """(first line, last line, signature) of each function of a clang-formatted source: its braces
    stand alone in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
            while start > 1 and re.match(r"[\w\s]", lines[start - 2]) and lines[start - 2].strip():
                start -= 1
        elif line.startswith("}") and start is not None:
            yield start, number, lines[start - 1].strip()
            start = None


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno, node.name


def function_sizes(tree):
    for path in tree.written(".c", ".h", ".py"):
        found = (python_functions(tree.text(path)) if tree.ending(path) == ".py"
                 else c_functions(tree.lines(path)))
        for first, last, name in found:
            count = last - first + 1
            if count > FUNCTION_LINES_MAX:
                yield f"{path}:{first}: {count} lines ({FUNCTION_LINES_MAX} at most): {name}"


def columns(tree):
    for path in tree.written(".c", ".h", ".py", ".sh"):
        for number, line in enumerate(tree.lines(path), 1):
            if len(line) > COLUMNS_MAX:
                yield f"{path}:{number}: {len(line)} columns ({COLUMNS_MAX} at most)"


def top_level(tree):
    """Folders show the architecture; nothing else lies beside them."""
    names = {path.split("/")[0] for path in tree.paths}
    for name in sorted(names - TOP_LEVEL):
        yield f"{name}:1: does not belong to the top level"
    for name in sorted(TOP_LEVEL - names):
        yield f"{name}:1: is missing from the top level"


def readmes(tree):
    for folder in TOP_FOLDERS:
        if f"{folder}/README.md" not in tree.paths:
            yield f"{folder}/README.md:1: is missing; it says what the folder holds"


def home_paths(tree):
    """A path below somebody's home or work folder is right on one machine only."""
    for path in tree.paths:
        if not tree.is_text(path):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            found = HOME_PATH.search(line)
            if found:
                yield f"{path}:{number}: a path below {found.group(0)}"


def typedefs(tree):
    """A type is called struct tr_x where it is used."""
    for path in tree.c_files("common", "capture", "consumers"):
        for number, line in enumerate(tree.lines(path), 1):
            if re.match(r"\s*typedef\s+(struct|enum|union)\b", line):
                yield f"{path}:{number}: no typedef of structs, enums and unions"


def header_form(tree):
    """A header begins by saying what it is for, and is guarded."""
    for path in tree.c_files("common", "capture", "consumers"):
        text = tree.text(path)
        if not text.startswith("/*"):
            yield f"{path}:1: begins with a comment that says what it is for"
        if path.endswith(".h") and not re.search(r"^#ifndef TR_\w+_H\n#define TR_\w+_H$", text,
                                                 re.MULTILINE):
            yield f"{path}:1: has no guard TR_…_H"


def formatting(tree):
    """clang-format would change nothing."""
    for path in tree.written(".c", ".h"):
        done = subprocess.run(["clang-format", "--dry-run", "--style=file", path], cwd=tree.root,
                              capture_output=True, text=True, check=True)
        found = re.search(r":(\d+):\d+: warning", done.stderr)
        if found:
            yield f"{path}:{found.group(1)}: run clang-format -i {path}"


ALL = {
    "foreign_headers": foreign_headers,
    "own_includes": own_includes,
    "named_modules": named_modules,
    "file_sizes": file_sizes,
    "function_sizes": function_sizes,
    "columns": columns,
    "top_level": top_level,
    "readmes": readmes,
    "home_paths": home_paths,
    "typedefs": typedefs,
    "header_form": header_form,
    "formatting": formatting,
}
