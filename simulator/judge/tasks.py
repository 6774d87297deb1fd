"""`tasks_16`: sixteen scripted feats replayed in the dream; how many end as in the true world, by the feat reader.

`true_tasks_16` is the reader's own accuracy: the same from the true frames of the same runs. Half of the runs are
look-alikes that fail, so a dream in which nothing ever happens has about one half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.simulator.judge.dreaming import Dreamer, dream, open_dreams
from reverie.simulator.judge.feats import LOOKS, NAMES, TICKS, FeatRun, feat_runs
from reverie.simulator.judge.figures import DIGITS, bar, figure
from reverie.simulator.judge.reading import shipped_readers
from reverie.simulator.voxel.world import VoxelWorld

if TYPE_CHECKING:
    from reverie.model.readers import Readers

EACH, EACH_QUICK = 4, 1
"""Runs of every feat."""
ELSEWHERE = 20_000
"""The first seed is so far above that of the clips."""


def judged(readers: Readers, runs: list[FeatRun], frames: np.ndarray) -> np.ndarray:
    """bool [n]: whether each run, seen as uint8 [n, len(LOOKS), h, w, 3], ended as it truly did."""
    truly = np.array([run.success for run in runs])
    return readers.read_feats([run.feat for run in runs], frames) == truly


def figures(runs: list[FeatRun], right: np.ndarray, prefix: str = "") -> dict[str, Any]:
    """The report's entries of which runs ended as they should, bool [n]."""
    done = np.array([run.success for run in runs])
    names = np.array([run.feat for run in runs])
    report = figure(f"{prefix}tasks_16", right.astype(np.float64))
    return report | {
        f"{prefix}tasks_16_done": _share(right[done]),
        f"{prefix}tasks_16_not_done": _share(right[~done]),
        f"{prefix}tasks_16_feats": {name: _share(right[names == name]) for name in NAMES},
    }


def judge_tasks(world: Dreamer, context: int, seed: int, quick: bool) -> dict[str, Any]:
    """The entries of the report."""
    each = EACH_QUICK if quick else EACH
    with bar("feats", each * len(NAMES), "feat") as progress:
        runs = feat_runs(VoxelWorld(world.size), seed + ELSEWHERE, each, context, progress.update)
    return judge_feats(world, runs)


def judge_feats(world: Dreamer, runs: list[FeatRun]) -> dict[str, Any]:
    """The entries for these runs."""
    readers, context = shipped_readers(), len(runs[0].run.start)
    with bar("dreaming feats", len(runs) * (context + TICKS), "frame") as progress:
        states = open_dreams(world, [run.run for run in runs], progress.update)
        actions = np.stack([run.run.actions for run in runs])
        seen = dream(world, states, actions, LOOKS[1:], progress.update)
    first = np.stack([run.run.first for run in runs])[:, None]
    report = figures(runs, judged(readers, runs, np.concatenate((first, seen), 1)))
    report |= figures(runs, judged(readers, runs, np.stack([run.seen for run in runs])), "true_")
    return report | {"tasks_16_runs": len(runs)}


def _share(right: np.ndarray) -> float | None:
    return round(float(right.mean()), DIGITS) if len(right) else None
