"""How far are frames late in a dream from true ones? A Fréchet distance in features that were learned here.

The distance of two sets of features as of Gaussians: Heusel et al., GANs trained by a two time-scale update rule,
2017. Its size means little, so that only its ratio says something: `frechet_16s` is the distance of dreamed frames to
the true ones of the same runs, over that of true frames of other worlds to them. 0 is perfect, 1 as far as elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.simulator.action import Action
from reverie.simulator.errors import ClipError
from reverie.simulator.judge.dreaming import Dreamer, dream_runs, open_dreams
from reverie.simulator.judge.figures import DIGITS, bar, interval
from reverie.simulator.judge.metrics import CONFIDENCE, Interval
from reverie.simulator.judge.reading import shipped_readers
from reverie.simulator.judge.truth import TrueRun, arrive, film
from reverie.simulator.voxel.world import VoxelWorld
from reverie.simulator.world import TICKS_PER_SECOND

if TYPE_CHECKING:
    from reverie.model.readers import Readers

SECONDS = (16, 90)
SPREAD, EVERY = 48, 8
"""Frames are taken every few ticks from this many ticks before such a time up to it."""
RUNS = {16: 16, 90: 8}
"""How many dreams go as far."""
ELSEWHERE = 10_000
"""These runs are in other worlds than the reference: seeds are so far apart."""
REFERENCE_EVERY = 4
RESAMPLES = 100
FLAT = 1e-3
"""Features, which are measured in their own spread over the reference, that vary less than this hardly count."""


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and covariance [d, d] of features float64 [n, d]."""
    return features.mean(axis=0), np.cov(features, rowvar=False)


def root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance [d, d]."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def distance(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray, root_of: np.ndarray) -> float:
    """The squared Fréchet distance of features [n, d] to a Gaussian, whose root is given, too."""
    there, spread = moments(features)
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root_of @ spread @ root_of), 0.0)).sum()
    return float(np.square(there - mean).sum() + np.trace(spread) + np.trace(covariance) - 2 * overlap)


def frechet_ratio(
    readers: Readers, seen: np.ndarray, true: np.ndarray, reference: np.ndarray
) -> tuple[Interval, float]:
    """Distance of `seen` to `true` over that of the reference to it, with its interval over runs; the latter alone.

    `seen` and `true` are uint8 [b, n, h, w, 3] of the same b runs, `reference` uint8 [m, h, w, 3] of other worlds.
    """
    others = readers.features(reference)
    scale = others.std(axis=0) + FLAT
    others = others / scale
    shape = (len(seen), seen.shape[1], -1)
    dreamed = (readers.features(seen.reshape(-1, *seen.shape[2:])) / scale).reshape(shape)
    truly = (readers.features(true.reshape(-1, *true.shape[2:])) / scale).reshape(shape)

    def ratio(rows: np.ndarray) -> tuple[float, float]:
        mean, covariance = moments(truly[rows].reshape(-1, len(scale)))
        rooted = root(covariance)
        alone = distance(others, mean, covariance, rooted)
        return distance(dreamed[rows].reshape(-1, len(scale)), mean, covariance, rooted) / alone, alone

    value, alone = ratio(np.arange(len(seen)))
    rng = np.random.default_rng(len(seen))
    rows = rng.integers(len(seen), size=(RESAMPLES, len(seen)))
    drawn = [ratio(row)[0] for row in rows]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(low), float(high)), alone


def late_ticks(seconds: int) -> tuple[int, ...]:
    """The ticks that are looked at around a time."""
    end = seconds * TICKS_PER_SECOND
    return tuple(range(end - SPREAD, end + 1, EVERY))


def long_run(world: VoxelWorld, seed: int, context: int, seconds: int, states: bool = False) -> TrueRun:
    """A scripted player's long way in the world of a seed, its true frames at the times that it reaches, and the state
    at its start if wanted.
    """
    state, player, scene = arrive(world, seed)
    clip, state = film(world, state, lambda now: player.act(world.senses(now)), context)
    start = state if states else None
    ticks = [tick for time in SECONDS if time <= seconds for tick in late_ticks(time)]
    vectors, frames = [clip.actions[-1].to_vector()], []
    state = world.step(state, clip.actions[-1])
    for tick in range(1, seconds * TICKS_PER_SECOND + 1):
        if tick in ticks:
            frames.append(world.frame(state))
        action = Action.from_vector(player.act(world.senses(state)).to_vector())  # exactly what a model is told
        state = world.step(state, action)
        vectors.append(action.to_vector())
    actions = np.stack(vectors[:-1])
    moving = np.ones(len(actions), bool)
    return TrueRun(f"{seed} {scene}", seed, clip, actions, tuple(ticks), np.stack(frames), moving, start)


def recorded_ways(choose: Callable[..., list[TrueRun]]) -> list[TrueRun]:
    """Long runs from recordings, which `choose` (`recorded_runs` but for `count`, `horizon` and `late`) takes windows
    of; those to the farthest of SECONDS that recordings are long enough for.
    """
    for seconds, count in sorted(RUNS.items(), reverse=True):
        ticks = tuple(tick for time in SECONDS if time <= seconds for tick in late_ticks(time))
        try:
            runs = choose(count=count, horizon=seconds * TICKS_PER_SECOND, late=True)
        except ClipError:
            continue
        kept = [tick - 1 for tick in ticks]
        return [replace(run, ticks=ticks, frames=run.frames[kept]) for run in runs if run.frames is not None]
    return []


def voxel_ways(size: tuple[int, int], context: int, seed: int) -> list[TrueRun]:
    """Long runs in voxel worlds, drawn at a `size` (height, width), RUNS of each length."""
    world, first = VoxelWorld(size), seed + ELSEWHERE
    runs: list[TrueRun] = []
    with bar("true long ways", sum(RUNS.values()), "run") as progress:
        for goal, count in RUNS.items():
            for _ in range(count):
                runs.append(long_run(world, first + len(runs), context, goal))
                progress.update()
    return runs


def judge_frechet(world: Dreamer, ways: Sequence[TrueRun], played: list[TrueRun]) -> dict[str, Any]:
    """The entries of the report for these long runs; null where there are none."""
    report: dict[str, Any] = {}
    for seconds in SECONDS:
        report |= {f"frechet_{seconds}s": None, f"frechet_{seconds}s_ci": None, f"frechet_{seconds}s_true": None}
    return report | judge_long_runs(world, list(ways), played) if ways else report


def judge_far_teacher(
    teacher: Dreamer, world: Dreamer, ways: Sequence[TrueRun], played: list[TrueRun], count: int
) -> dict[str, Any]:
    """The teacher's distances on the first `count` of the longest runs, and over the dream's on the same."""
    longest = max(run.ticks[-1] for run in ways)
    alike = [run for run in ways if run.ticks[-1] == longest][:count]
    far, near = (judge_long_runs(dreamer, alike, played) for dreamer in (teacher, world))
    report: dict[str, Any] = {"teacher_ways": len(alike)}
    for seconds in (seconds for seconds in SECONDS if f"frechet_{seconds}s" in far):
        name = f"frechet_{seconds}s"
        report |= {f"teacher_{name}": far[name], f"teacher_{name}_ci": far[f"{name}_ci"]}
        report[f"teacher_over_{seconds}s"] = round(far[name] / near[name], DIGITS) if near[name] else None
    return report


def judge_long_runs(world: Dreamer, runs: list[TrueRun], played: list[TrueRun]) -> dict[str, Any]:
    """The entries for these runs, as far as they go; frames of `played` are what is elsewhere."""
    readers, report = shipped_readers(), dict[str, Any]()
    reference = np.concatenate([run.frames[::REFERENCE_EVERY] for run in played if run.frames is not None])
    seen: dict[int, list[np.ndarray]] = {seconds: [] for seconds in SECONDS}
    true: dict[int, list[np.ndarray]] = {seconds: [] for seconds in SECONDS}
    with bar("long dreams", sum(len(run.start) + len(run.actions) for run in runs), "frame") as progress:
        for ticks in dict.fromkeys(run.ticks for run in runs):
            alike = [run for run in runs if run.ticks == ticks]
            states = open_dreams(world, alike, progress.update)
            frames = dream_runs(world, states, alike, progress.update)
            truly = np.stack([run.frames for run in alike if run.frames is not None])
            for seconds in SECONDS:
                columns = [index for index, tick in enumerate(ticks) if tick in late_ticks(seconds)]
                if columns:
                    seen[seconds].append(frames[:, columns])
                    true[seconds].append(truly[:, columns])
    for seconds in (seconds for seconds in SECONDS if seen[seconds]):
        found, alone = frechet_ratio(readers, np.concatenate(seen[seconds]), np.concatenate(true[seconds]), reference)
        report |= interval(f"frechet_{seconds}s", found)
        report |= {
            f"frechet_{seconds}s_true": round(alone, DIGITS),
            f"frechet_{seconds}s_runs": sum(len(part) for part in seen[seconds]),
        }
    return report
