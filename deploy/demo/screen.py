"""What the quickstart shows: lines of text, and one progress bar per store.

On a terminal the bars are drawn in place; elsewhere one line per store is printed now and then.
"""

import shutil
import sys
import time

BAR_WIDTH = 30
# What a store's line needs beside its bar.
TEXT_WIDTH = 67
PLAIN_EVERY_S = 5


class Screen:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.terminal = out.isatty()
        self.drawn = 0
        self.plain_at = 0.0

    def say(self, text):
        self.drawn = 0
        print(text, file=self.out, flush=True)

    def bars(self, lines, last=False):
        """Shows the lines instead of those shown before."""
        if self.terminal:
            # A line that wraps would be two to go up.
            columns = self.columns()
            up = f"\x1b[{self.drawn}F" if self.drawn else ""
            self.out.write(up + "".join(f"\x1b[2K{line[:columns]}\n" for line in lines))
            self.drawn = 0 if last else len(lines)
        elif last or time.monotonic() >= self.plain_at:
            self.out.write("".join(f"{line}\n" for line in lines))
            self.plain_at = time.monotonic() + PLAIN_EVERY_S
        self.out.flush()

    @staticmethod
    def columns():
        return shutil.get_terminal_size().columns - 1

    def bar(self, part):
        """`part` is what is done, from 0 to 1."""
        width = max(10, min(BAR_WIDTH, self.columns() - TEXT_WIDTH)) if self.terminal else BAR_WIDTH
        filled = int(part * width)
        return f"[{'#' * filled}{'.' * (width - filled)}] {100 * part:3.0f} %"


class Progress:
    """One store's way through one act of the show."""

    WINDOW_S = 3.0

    def __init__(self, counts, total=None):
        """`counts` is where the store stands now; `total` what will come, if that is known."""
        self.counts = counts
        self.begin = counts.settled
        self.total = total
        self.points = []

    def add(self, counts):
        now = time.monotonic()
        self.counts = counts
        self.points.append((now, counts.applied))
        while len(self.points) > 2 and now - self.points[0][0] > self.WINDOW_S:
            self.points.pop(0)

    def rate(self):
        """Rows per second over the last few seconds."""
        if not self.points:
            return 0.0
        (begin, first), (end, last) = self.points[0], self.points[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    def part(self):
        done = self.counts.settled - self.begin
        total = self.total or done + (self.counts.lag or 0)
        if total:
            return min(1.0, done / total)
        return 1.0 if self.counts.lag == 0 else 0.0

    def line(self, name, screen):
        lag = "?" if self.counts.lag is None else f"{self.counts.lag:,}"
        return (f"  {name:13} {screen.bar(self.part())}  {self.counts.applied:9,} rows  "
                f"{self.rate():7,.0f}/s  lag {lag:>7}")
