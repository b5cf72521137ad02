"""The modules of the tree, as the CMakeLists.txt of its folders make them."""

import re

CALL = re.compile(r"^tr_(?:library|program)\(\s*([\w-]+)([^)]*)\)", re.MULTILINE)
KEYWORDS = {"SOURCES", "DEPENDS", "USES", "LIBS"}


class Module:
    """A library or program: its folder, its sources, and the modules that it names."""

    def __init__(self, name, folder, words):
        lists = {keyword: [] for keyword in KEYWORDS}
        into = []
        for word in words:
            into = lists[word] if word in KEYWORDS else into
            if word not in KEYWORDS:
                into.append(word)
        self.name = name
        self.folder = folder
        self.sources = set(lists["SOURCES"])
        self.named = {*lists["DEPENDS"], *lists["USES"], name}


def read_modules(tree, *tops):
    """Those below the top folders."""
    found = []
    for path in tree.paths:
        folder, _, name = path.rpartition("/")
        if name == "CMakeLists.txt" and path.split("/")[0] in tops:
            text = re.sub(r"#.*", "", tree.text(path))
            found += [Module(call.group(1), folder, call.group(2).split())
                      for call in CALL.finditer(text)]
    return found


def owners(modules, path):
    """The modules that a file belongs to: a source's; of a header the one with its source, or, if
    it has none, all of its folder."""
    folder, _, name = path.rpartition("/")
    here = [module for module in modules if module.folder == folder]
    source = re.sub(r"\.h$", ".c", name)
    return [module for module in here if source in module.sources] or here
