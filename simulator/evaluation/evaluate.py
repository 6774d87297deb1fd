"""A world against the truth on held-out runs, figure by figure: what `reverie evaluate` prints.

Every run's values are a file of their own, so that a measurement that was stopped goes on where it was, and one that
has no time left still has some runs of every part. Figures are means, or medians (`keys`), over runs; NAME_ci is the
95 % interval when runs are drawn anew, NAME_runs their number. Columns other than *with poses* have their name as a
prefix: `cells_`, `frames_`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.model.errors import ReverieError
from reverie.simulator.evaluation import keys as names
from reverie.simulator.evaluation.metrics import Interval, bootstrap
from reverie.simulator.evaluation.parts import FILMED, PARTS, Limits, Measured, Part, Session
from reverie.simulator.evaluation.perception import Perception, load_perception
from reverie.simulator.evaluation.runs import RunStore, code_version
from reverie.simulator.evaluation.starts import COLUMNS, columns_of, hidden_pixels

if TYPE_CHECKING:
    from reverie.model.readers import Readers

DIGITS = 4
REPORT, VALUES, FILMS = "report.json", "values", "films"


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many runs each kind of part has, and how far they are followed."""

    explorer: int = 16
    walk: int = 16
    walls: int = 48
    turn: int = 6
    revisit: int = 6
    back: int = 8
    idle: int = 6
    seeds: int = 4
    door: int = 8
    task: int = 32
    nostate: int = 16
    readouts: int = 16
    long_stays: int = 4
    """Runs whose doors and revisits are waited for longer than MOST_PATIENT seconds."""
    limits: Limits = field(default_factory=Limits)

    def of(self, part: Part) -> int:
        """The runs of a part; others than those listed here have as many as `explorer`."""
        for name in (
            "explorer",
            "walls",
            "walk",
            "turn",
            "revisit",
            "back",
            "idle",
            "seeds",
            "door",
            "task",
            "nostate",
            "readouts",
        ):
            if part.name.startswith(name):
                return int(getattr(self, name))
        return self.explorer


MOST_PATIENT = 20
FULL = Amounts()
QUICK = Amounts(
    3, 2, 6, 1, 1, 2, 1, 1, 2, 16, 3, 3, 0, Limits(explorer=100, walk=16, revisit=5, stay=1, turn=3.0, seeds=3)
)
"""About three minutes of two cores."""


@dataclass(frozen=True, slots=True)
class _Job:
    part: Part
    column: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.column}-{self.part.name}-{self.number}"


def evaluate(
    world: Any,
    out: str | os.PathLike[str],
    *,
    runs: str | os.PathLike[str],
    keys: Sequence[str] = (),
    columns: Sequence[str] = (),
    amounts: Amounts = FULL,
    minutes: float = math.inf,
    extra: Sequence[Part] = (),
    readouts: Readers | None = None,
    share: tuple[int, int] = (0, 1),
    sheets: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measures a world (see `starts` for what it may offer) and writes report.json, values and sheets to `out`.

    `runs` is the folder in which true runs are kept. `keys` limits it to the parts that figures of these beginnings
    come from, or parts of these names; `columns` to some of `starts.COLUMNS`. No run is begun after `minutes`; a
    later call goes on. `extra` are further parts. `share` (i, n): only every n-th run, from i on, is measured here, so
    that n processes can work on the same `out`. Raises ReverieError for keys that no part has.
    """
    began = time.perf_counter()
    parts = chosen_parts((*PARTS, *extra), keys)
    wanted = [column for column in columns_of(world) if not columns or column in columns]
    perception, store = load_perception(), RunStore(runs, world.size)
    folder = Path(out) / VALUES / _signature(world, amounts, perception)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = plan_jobs(parts, wanted, amounts)
    done = 0
    for index, job in enumerate(jobs):
        path = folder / f"{job.name}.json"
        if path.exists():
            done += 1
        elif index % share[1] == share[0] and time.perf_counter() - began < 60 * minutes:
            limits = amounts.limits
            if job.number >= amounts.long_stays:
                limits = replace(limits, stay=min(limits.stay, MOST_PATIENT))
            session = Session(world, store, job.column, limits, perception, readouts)
            _keep(path, job.part.measure(session, store.get(job.part.kind, job.number)), job.number < FILMED)
            done += 1
        if progress is not None:
            progress(index + 1, len(jobs))
    report, hidden = summary(folder, jobs), hidden_pixels(world)
    report |= {
        "world": world.describe(), "size": list(world.size), "runs_done": done, "runs_planned": len(jobs),
        "features": perception is not None,
        "pixels_judged": 1.0 if hidden is None else round(1.0 - float(hidden.mean()), DIGITS),
    }  # fmt: skip
    _write(Path(out) / REPORT, json.dumps(report, indent=1, allow_nan=False) + "\n")
    if sheets:
        from reverie.simulator.evaluation.sheets import write_sheets

        write_sheets(Path(out), folder)
    return report


def chosen_parts(parts: Sequence[Part], keys: Sequence[str]) -> list[Part]:
    """The parts that figures whose names begin with one of `keys` come from; all without keys. Raises ReverieError."""
    if not keys:
        return list(parts)
    found = [part for part in parts if any(_concerns(part, key) for key in keys)]
    for key in keys:
        if not any(_concerns(part, key) for part in parts):
            raise ReverieError(f"evaluate: no figure begins with {key!r}")
    return found


FIGURES_OF: dict[str, tuple[str, ...]] = {
    "explorer": ("seen_", "psnr", "perceptual", "place_error"),
    "walls": ("walls", "body_error"),
    "walk": ("detail", "contrast", "frechet"),
    "turn": ("turn_return",),
    "revisit": ("revisit_psnr",),
    "back": ("walk_return",),
    "idle": ("idle",),
    "seeds": ("seeds",),
    "door": ("edit",),
    "task": ("tasks_16", "task_"),
    "nostate": ("nostate",),
    "readouts": ("action_f1", "camera_deg"),
}
"""What the figures of parts begin with, by what their names begin with."""


def _concerns(part: Part, key: str) -> bool:
    if part.name == key:
        return True
    for prefix, figures in FIGURES_OF.items():
        if part.name.startswith(prefix):
            return any(key.startswith(figure) or figure.startswith(key) for figure in figures)
    return part.name.startswith(key) or key.startswith(part.name)


def plan_jobs(parts: Sequence[Part], columns: Sequence[str], amounts: Amounts) -> list[_Job]:
    """All runs, the first ones of every part before the second ones, so that a part of the list says something."""
    counts = [(part, amounts.of(part)) for part in parts if part.wanted(amounts.limits)]
    jobs = []
    for number in range(max((count for _, count in counts), default=0)):
        for part, count in counts:
            patient = part.name.startswith("revisit") and int(part.name.removeprefix("revisit")) > MOST_PATIENT
            if number >= (min(count, amounts.long_stays) if patient else count):
                continue
            jobs += [_Job(part, column, number) for column in columns if column in part.columns]
    return jobs


def summary(folder: Path, jobs: Sequence[_Job]) -> dict[str, Any]:
    """The figures of all runs that are there; null for the listed keys that nothing is known of."""
    report: dict[str, Any] = {key.name: None for key in names.KEYS}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    finishing = {job.part.name: job.part.finish for job in jobs}
    for job in jobs:
        path = folder / f"{job.name}.json"
        if path.exists():
            groups.setdefault((job.part.name, job.column), []).append(json.loads(path.read_text("utf-8")))
    values: dict[str, list[float]] = {}
    for (part, column), rows in groups.items():
        prefix = "" if column == COLUMNS[0] else f"{column}_"
        for row in rows:
            for name, value in row.items():
                if not name.startswith("_") and value is not None:
                    values.setdefault(f"{prefix}{name}", []).append(float(value))
        finish = finishing[part]
        if finish is not None:
            for name, found in finish([dict(row) for row in rows]).items():
                report |= _entries(f"{prefix}{name}", found, len(rows))
    for name, found_values in values.items():
        statistic: Callable[[np.ndarray], float] = np.median if names.is_median(_bare(name)) else np.mean
        report |= _entries(name, bootstrap(np.array(found_values), statistic), len(found_values))
    for prefix in ("", *(f"{column}_" for column in COLUMNS[1:])):
        returns = [report.get(f"{prefix}edit_return_{kind}") for kind in ("turn3", "turn10", "walk")]
        known = [value for value in returns if value is not None]
        if len(known) == len(returns):
            report[f"{prefix}edit_return"] = round(float(np.mean(known)), DIGITS)
    return report


def _bare(name: str) -> str:
    for column in COLUMNS[1:]:
        name = name.removeprefix(f"{column}_")
    return name


def _entries(name: str, found: Interval, count: int) -> dict[str, Any]:
    if not np.isfinite(found.value):
        return {name: None}
    ends = [round(found.low, DIGITS), round(found.high, DIGITS)]
    return {name: round(found.value, DIGITS), f"{name}_ci": ends, f"{name}_runs": count}


@lru_cache(maxsize=1)
def measuring_version() -> str:
    """A digest of the code that figures follow from."""
    digest = hashlib.sha256(code_version().encode())
    for name in ("parts.py", "metrics.py", "sight.py", "starts.py", "perception.py", "candidates.py"):
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


def _signature(world: Any, amounts: Amounts, perception: Perception | None) -> str:
    """The name of the folder in which values of one world, measured in one way, are kept."""
    settings = {
        "world": world.describe(), "size": list(world.size), "limits": asdict(amounts.limits),
        "patient": amounts.long_stays, "features": perception is not None, "code": measuring_version(),
    }  # fmt: skip
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep(path: Path, measured: Measured, film: bool) -> None:
    values = {name: _plain(value) for name, value in measured.values.items()}
    if film and measured.film:
        films = path.parent / FILMS
        films.mkdir(exist_ok=True)
        arrays: dict[str, Any] = dict(measured.film)
        np.savez_compressed(films / f"{path.stem}.npz", **arrays)
    _write(path, json.dumps(values, allow_nan=False))


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is no number is null."""
    if isinstance(value, list):
        return value
    if value is None or not math.isfinite(float(value)):
        return None
    return round(float(value), 6)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise ReverieError(f"{path}: cannot be written ({error.strerror})") from error
