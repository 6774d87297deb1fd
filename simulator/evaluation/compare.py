"""Two measured worlds against each other: which figures differ by more than chance, and which way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reverie.model.errors import ReverieError
from reverie.simulator.evaluation.keys import BY_NAME, KEYS

DECIDING = (
    "seen_psnr_8", "seen_psnr_32", "seen_psnr_100", "detail_5s", "turn_return_3", "edit_return", "walls_standing",
    "body_error_32", "tasks_16",
)  # fmt: skip
"""Figures that decide where nobody names others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both, how much better the second is (in the figure's unit), and half its 95 % interval."""

    name: str
    first: float
    second: float
    better: float
    spread: float

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `same`: the second against the first, beyond chance."""
        if abs(self.better) <= self.spread:
            return "same"
        return "better" if self.better > 0 else "worse"


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], names: Sequence[str] = ()
) -> tuple[Difference, ...]:
    """The differences in the named figures (all that both reports hold). Raises ReverieError for unknown names.

    Half intervals of independent means add in squares.
    """
    for name in names:
        if name not in BY_NAME:
            raise ReverieError(f"compare: there is no figure {name!r}")
    found = []
    for key in KEYS:
        one, other = first.get(key.name), second.get(key.name)
        if (names and key.name not in names) or one is None or other is None or key.aim == "none":
            continue
        worth = {"high": other - one, "low": one - other, "one": abs(one - 1) - abs(other - 1)}[key.aim]
        halves = [_half(report, key.name) for report in (first, second)]
        found.append(Difference(key.name, one, other, worth, math.hypot(*halves)))
    return tuple(found)


def _half(report: Mapping[str, Any], name: str) -> float:
    low, high = report.get(f"{name}_ci") or (0.0, 0.0)
    return (high - low) / 2


def meets(found: Sequence[Difference], require: str) -> bool:
    """Whether the second is `better` (in one figure at least, worse in none) or `not-worse`."""
    verdicts = [one.verdict for one in found]
    return "worse" not in verdicts and (require == "not-worse" or "better" in verdicts)
