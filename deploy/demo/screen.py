"""What the quickstart shows: lines of text, and one progress bar per store.

On a terminal the bars are drawn in place; elsewhere one line per store is printed now and then.
"""

import sys
import time

BAR_WIDTH = 30
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
            up = f"\x1b[{self.drawn}F" if self.drawn else ""
            self.out.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
            self.drawn = 0 if last else len(lines)
        elif last or time.monotonic() >= self.plain_at:
            self.out.write("".join(f"{line}\n" for line in lines))
            self.plain_at = time.monotonic() + PLAIN_EVERY_S
        self.out.flush()


def bar(name, done, total, rate, lag):
    """A store's line; without a total it is what was applied and what is known to come."""
    total = total or done + (lag or 0)
    part = min(1.0, done / total) if total else 1.0
    filled = int(part * BAR_WIDTH)
    lag_text = "?" if lag is None else f"{lag:,}"
    return (f"  {name:13} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {100 * part:4.0f} %  "
            f"{done:9,} rows  {rate:8,.0f}/s  lag {lag_text:>7}")


class Rate:
    """Rows per second over the last few seconds."""

    WINDOW_S = 3.0

    def __init__(self):
        self.points = []

    def add(self, value):
        now = time.monotonic()
        self.points.append((now, value))
        while len(self.points) > 2 and now - self.points[0][0] > self.WINDOW_S:
            self.points.pop(0)
        first_time, first = self.points[0]
        return (value - first) / (now - first_time) if now > first_time else 0.0
