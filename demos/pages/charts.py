"""Line charts as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 132, 12, 34
MOST_GRID_LINES = 7
LABEL_GAP = 14
SMALLEST_SPAN = 1e-9
NICE = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `style` is a class of the style sheet."""

    label: str
    style: str
    xs: Sequence[float]
    ys: Sequence[float]


def line_chart(lines: Sequence[Line], x_title: str, y_title: str) -> str:
    """An SVG of curves over a common x, each labelled at its end."""
    xs = [x for line in lines for x in line.xs]
    ys = [y for line in lines for y in line.ys]
    grid = ticks(min(ys), max(ys))
    low, high = min(grid[0], *ys), max(grid[-1], *ys)
    x0, x1 = min(xs), max(xs)

    def across(x: float) -> float:
        return LEFT + (x - x0) / max(x1 - x0, SMALLEST_SPAN) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (high - y) / max(high - low, SMALLEST_SPAN) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_title)} over '
        f'{escape(x_title)}">'
    ]
    for y in grid:
        at = down(y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 7}" y="{at + 4:.1f}">{y:g}</text>')
    for x in ticks(x0, x1):
        if x0 <= x <= x1:
            parts.append(
                f'<text class="tick" text-anchor="middle" x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 16}">{x:g}</text>'
            )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" text-anchor="middle" x="{middle}" y="{HEIGHT - 3}">{escape(x_title)}</text>')
    ends = _spread([down(line.ys[-1]) for line in lines])
    for line, end in zip(lines, ends, strict=True):
        points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(line.xs, line.ys, strict=True))
        parts.append(f'<polyline class="line {line.style}" points="{points}"/>')
        parts.append(
            f'<text class="label {line.style}" x="{WIDTH - RIGHT + 8}" y="{end + 4:.1f}">{escape(line.label)}</text>'
        )
    parts.append("</svg>")
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, and the one below, a handful in all."""
    span = max(high - low, SMALLEST_SPAN)
    power = 10.0 ** math.floor(math.log10(span / MOST_GRID_LINES))
    step = next(power * nice for nice in NICE if span / (power * nice) <= MOST_GRID_LINES)
    first = math.floor(low / step)
    return [round((first + k) * step, 10) for k in range(math.floor(high / step) - first + 1)]


def _spread(ends: Sequence[float]) -> list[float]:
    """Heights of labels, moved apart where they would overlap."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    placed = list(ends)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + LABEL_GAP)
    over = max(placed) - (HEIGHT - BOTTOM)
    return [at - over for at in placed] if over > 0 else placed
