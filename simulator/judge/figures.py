"""Entries of the report: a figure and its interval, rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.simulator.judge.metrics import Interval, bootstrap

DIGITS = 4


def interval(name: str, found: Interval) -> dict[str, Any]:
    """`name` and `name_ci`; null where there is no number."""
    if not np.isfinite(found.value):
        return {name: None, f"{name}_ci": None}
    return {name: round(found.value, DIGITS), f"{name}_ci": [round(found.low, DIGITS), round(found.high, DIGITS)]}


def figure(name: str, values: np.ndarray) -> dict[str, Any]:
    """The mean over clips and its interval; null where there are no clips."""
    if not len(values):
        return {name: None, f"{name}_ci": None}
    return interval(name, bootstrap(values))


def bar(what: str, total: int, unit: str) -> Any:
    """A progress bar."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit, disable=None, leave=False)
