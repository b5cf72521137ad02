"""The files that the lint looks at."""

import re
import subprocess
from pathlib import Path

C_TYPES = (".c", ".h")
# Made by programs of the tree; their size and form are theirs.
GENERATED = ".gen.c"
# What a script without an ending would be called.
INTERPRETERS = {"python3": ".py", "sh": ".sh", "bash": ".sh"}
BUILD_FOLDERS = {"build", "__pycache__", ".git", ".cache"}


class Tree:
    """A project folder: what is in git, or, without one, all but build folders."""

    def __init__(self, root):
        self.root = Path(root)
        self.paths = self.list_git() if (self.root / ".git").exists() else self.walk()

    def list_git(self):
        out = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], capture_output=True, check=True).stdout
        names = {name for name in out.decode().split("\0") if name}
        return sorted(name for name in names if (self.root / name).is_file())

    def walk(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*")
                      if path.is_file()
                      and not BUILD_FOLDERS & set(path.relative_to(self.root).parts))

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def lines(self, path):
        return self.text(path).splitlines()

    def c_files(self, *tops):
        """C sources and headers, all or those below the named top folders."""
        return [path for path in self.paths if path.endswith(C_TYPES)
                and (not tops or path.split("/")[0] in tops)]

    def ending(self, path):
        """".c" and so on; of a file without one, what its `#!` line makes it, else ""."""
        own = Path(path).suffix
        if own:
            return own
        with open(self.root / path, "rb") as file:
            first = file.readline(256).decode(errors="replace")
        words = re.split(r"[/\s]+", first.strip()) if first.startswith("#!") else []
        return next((INTERPRETERS[word] for word in words if word in INTERPRETERS), "")

    def written(self, *ends):
        """Files with these ends that people write."""
        return [path for path in self.paths
                if self.ending(path) in ends and not path.endswith(GENERATED)]

    def is_text(self, path):
        with open(self.root / path, "rb") as file:
            return b"\0" not in file.read(8192)
