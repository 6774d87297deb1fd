"""A report's figures as rows of grouped tables, the same for the page, the model card and the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reverie.simulator.judge.keys import BASELINES, Key, figures

DIGITS, DIGITS_WITHOUT_UNIT = 2, 3
"""After the point: shares and ratios, which have no unit, need one more."""


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that belong together. Cells are texts, empty where nothing is known."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Key, tuple[str, ...]], ...]


def groups(report: dict[str, Any], brief: bool = False) -> list[Group]:
    """The figures of a report by group: the dream, its interval, and those baselines that the group has."""
    found = figures(report, brief)
    tables = []
    for title in dict.fromkeys(key.group for key in found):
        keys = [key for key in found if key.group == title]
        baselines = [prefix for prefix in BASELINES if any(_has(report, prefix, key) for key in keys)]
        rows = tuple((key, _cells(report, key, baselines)) for key in keys)
        tables.append(Group(title, ("dream", "95 % interval", *(BASELINES[prefix] for prefix in baselines)), rows))
    return tables


def number(key: Key, value: Any) -> str:
    """A value of a figure as text."""
    if not isinstance(value, (int, float)):
        return ""
    return f"{value:.{DIGITS if key.unit else DIGITS_WITHOUT_UNIT}f}"


def title(key: Key) -> str:
    """What a row is called, with its unit."""
    return f"{key.title}, {key.unit}" if key.unit else key.title


def _cells(report: dict[str, Any], key: Key, baselines: Sequence[str]) -> tuple[str, ...]:
    interval = report.get(f"{key.name}_ci")
    span = f"{number(key, interval[0])} to {number(key, interval[1])}" if interval else ""
    return (
        number(key, report[key.name]),
        span,
        *(number(key, report.get(f"{prefix}_{key.name}")) for prefix in baselines),
    )


def _has(report: dict[str, Any], prefix: str, key: Key) -> bool:
    return report.get(f"{prefix}_{key.name}") is not None
