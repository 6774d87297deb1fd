"""Entries of the report: a figure, its interval and the values of its clips, rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from reverie.simulator.judge.metrics import Interval, bootstrap, ratio_of_sums

DIGITS = 4
OF_CLIPS = "_of_clips"
"""Ends the names of entries that hold one value for each clip, for `compare`."""


def figure(name: str, values: np.ndarray) -> dict[str, Any]:
    """The mean over clips, its interval, and the values; null where there are no clips."""
    if not len(values):
        return {name: None, f"{name}_ci": None}
    return interval(name, bootstrap(values)) | {f"{name}{OF_CLIPS}": rounded(values)}


def ratio(name: str, parts: np.ndarray) -> dict[str, Any]:
    """The same for the sum of the first over that of the second column of `parts` [n, 2]."""
    return interval(name, bootstrap(parts, ratio_of_sums)) | {f"{name}{OF_CLIPS}": rounded(parts)}


def interval(name: str, found: Interval) -> dict[str, Any]:
    """`name` and `name_ci`; null where there is no number."""
    if not np.isfinite(found.value):
        return {name: None, f"{name}_ci": None}
    return {name: round(found.value, DIGITS), f"{name}_ci": [round(found.low, DIGITS), round(found.high, DIGITS)]}


def rounded(values: np.ndarray) -> list[Any]:
    """Nested lists of numbers for JSON."""
    return np.round(values.astype(np.float64), DIGITS).tolist()


def bar(what: str, total: int, unit: str) -> Any:
    """A progress bar."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=unit, disable=None, leave=False)
