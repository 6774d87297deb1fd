"""How quality scales with the work of training: a power law where the data carry one, a table, and a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reverie.model.training.pictures import COLOURS

TERA = 1e12
FITTED = ("loss", "error_1", "error_8")
"""What is fitted: held-out loss, mean squared error after one and after eight ticks."""
TITLES = {
    "loss": "held-out loss, one step", "error_1": "squared error, 1 tick", "error_8": "squared error, 8 ticks",
}  # fmt: skip
LEAST_R2 = 0.95
"""Below this share of explained variance of the logarithms a fit is not called a law."""
PANEL, MARGIN, GAP = (300, 280), (62, 40, 22, 48), 6
"""Of each of the plots: size of its axes; what is left of, above, right of and below them; between dot and text."""
SCALE = 2
"""The picture is drawn so many times as large."""


class PowerLaw(NamedTuple):
    """y = factor * (x / unit) ^ power, by least squares in the logarithms."""

    power: float
    factor: float
    unit: float
    r2: float
    """Share of the variance of log y that it explains."""

    def __call__(self, x: float) -> float:
        return self.factor * (x / self.unit) ** self.power


def fit(xs: np.ndarray, ys: np.ndarray, unit: float = TERA) -> PowerLaw:
    """Through points [n] of which n is at least 2."""
    x, y = np.log(xs / unit), np.log(ys)
    power, offset = np.polyfit(x, y, 1)
    left = np.square(y - (power * x + offset)).sum()
    spread = np.square(y - y.mean()).sum()
    return PowerLaw(float(power), float(np.exp(offset)), unit, float(1 - left / spread) if spread > 0 else 0.0)


def frontier(curves: dict[str, list[dict[str, float]]], name: str) -> list[tuple[float, float]]:
    """The points (work, figure) of all runs to which no run comes down with less work."""
    points = sorted((point["flops"], point[name]) for curve in curves.values() for point in curve)
    best: list[tuple[float, float]] = []
    for work, value in points:
        if not best or value < best[-1][1]:
            best.append((work, value))
    return best


def laws(curves: dict[str, list[dict[str, float]]]) -> dict[str, PowerLaw]:
    """Of each of FITTED the law through its frontier, where at least three points make one."""
    found = {}
    for name in FITTED:
        points = np.array(frontier(curves, name))
        if len(points) >= 3:
            found[name] = fit(points[:, 0], points[:, 1])
    return found


def scaling_table(result: dict[str, Any]) -> list[str]:
    """A row for each run and each of its marks, then what the fits say."""
    curves = {name: record["curve"] for name, record in result["arms"].items()}
    head = ("width x depth", "parameters", "frames", "TFLOP", "held-out loss", "MSE 1", "MSE 8", "gain 1", "8, dB")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, record in result["arms"].items():
        size = f"{record['changes']['width']} x {record['changes']['depth']}"
        for point in curves[name]:
            cells = (
                size, f"{record['parameters'] / 1e6:.1f} M", f"{point['frames']:.0f}", f"{point['flops'] / TERA:.2f}",
                f"{point['loss']:.4f}", f"{point['error_1']:.5f}", f"{point['error_8']:.5f}", f"{point['gain_1']:.2f}",
                f"{point['gain_8']:.2f}",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for name, law in laws(curves).items():
        fitted = f"{TITLES[name]}: {law.factor:.3g} x TFLOP^{law.power:.3f} along the frontier, R² {law.r2:.2f}"
        less = f"{100 * (1 - 10**law.power):.0f} % less for ten times the work"
        lines.append(f"- {fitted}: {less if law.r2 >= LEAST_R2 else 'no power law'}.")
    return lines


def draw(result: dict[str, Any], path: Path) -> None:
    """Each of FITTED over the work of training, both axes logarithmic, a colour for each size of model."""
    from PIL import Image, ImageDraw, ImageFont

    left, top, right, bottom = MARGIN
    size = (len(FITTED) * (left + PANEL[0] + right), top + PANEL[1] + bottom)
    picture = Image.new("RGB", (SCALE * size[0], SCALE * size[1]), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=11 * SCALE)
    curves = {name: record["curve"] for name, record in result["arms"].items()}
    found = laws(curves)
    works = [point["flops"] / TERA for curve in curves.values() for point in curve]
    x_range = (math.log10(min(works)) - 0.1, math.log10(max(works)) + 0.1)

    def text(x: float, y: float, words: str, anchor: str, colour: str | tuple[int, int, int] = "black") -> None:
        pen.text((SCALE * x, SCALE * y), words, fill=colour, font=font, anchor=anchor)

    for index, name in enumerate(FITTED):
        values = [point[name] for curve in curves.values() for point in curve]
        y_range = (math.log10(min(values)) - 0.03, math.log10(max(values)) + 0.03)
        x0, y0 = index * (left + PANEL[0] + right) + left, top

        def place(work: float, value: float, x0: int = x0, y0: int = y0, y_range: tuple = y_range) -> tuple:
            across = (math.log10(work) - x_range[0]) / (x_range[1] - x_range[0])
            up = (math.log10(value) - y_range[0]) / (y_range[1] - y_range[0])
            return SCALE * (x0 + across * PANEL[0]), SCALE * (y0 + (1 - up) * PANEL[1])

        pen.rectangle((SCALE * x0, SCALE * y0, SCALE * (x0 + PANEL[0]), SCALE * (y0 + PANEL[1])), outline=(160,) * 3)
        text(x0 + PANEL[0] / 2, top / 2, TITLES[name], "mm")
        text(x0 + PANEL[0] / 2, y0 + PANEL[1] + 34, "training, 10^12 operations", "mm")
        for work in ticks(*x_range):
            x, _ = place(work, values[0])
            pen.line((x, SCALE * y0, x, SCALE * (y0 + PANEL[1])), fill=(230,) * 3)
            text(x / SCALE, y0 + PANEL[1] + GAP, f"{work:g}", "mt")
        for value in ticks(*y_range):
            _, y = place(works[0], value)
            pen.line((SCALE * x0, y, SCALE * (x0 + PANEL[0]), y), fill=(230,) * 3)
            text(x0 - GAP, y / SCALE, f"{value:.3g}", "rm")
        if name in found and found[name].r2 >= LEAST_R2:
            ends = [(work, found[name](work * TERA)) for work in (10 ** x_range[0], 10 ** x_range[1])]
            ends = [(work, min(max(value, 10 ** y_range[0]), 10 ** y_range[1])) for work, value in ends]
            pen.line([place(*end) for end in ends], fill=(120,) * 3, width=SCALE)
        for number, (arm, curve) in enumerate(curves.items()):
            colour = COLOURS[number % len(COLOURS)]
            places = [place(point["flops"] / TERA, point[name]) for point in curve]
            pen.line(places, fill=colour, width=SCALE)
            for x, y in places:
                pen.ellipse((x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE), fill=colour)
            text(x0 + PANEL[0] - GAP, y0 + 12 + 14 * number, arm, "rm", colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between 10^low and 10^high: 1, 2 and 5 times powers of ten; finer ones where those are few."""
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)):
        powers = range(math.floor(low) - 1, math.ceil(high) + 1)
        found = [
            step * 10.0**power for power in powers for step in steps if low <= math.log10(step * 10.0**power) <= high
        ]
        if len(found) >= 3:
            return found
    return found
