"""Whether the judge judges: the truth itself, and the truth spoiled in five ways, through the whole of `judge`.

    python -m reverie.simulator.judge.corruptions [--clips N] [--json]

prints a table of all keys by all corruptions. A cell is marked where the paired bootstrap calls it worse than the
truth. A corruption that no key notices, or not the key that should, is the judge's failure; a test holds that.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.actions import ACTION_INDEX
from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.clips import Clip
from reverie.simulator.judge import keys
from reverie.simulator.judge.compare import Difference, differences
from reverie.simulator.judge.dreaming import Tell, dream_runs, open_dreams
from reverie.simulator.judge.evaluate import CONTEXT, Amounts, Truth, judge, voxel_truth, without_values
from reverie.simulator.judge.feats import FeatRun, feat_runs
from reverie.simulator.judge.frechet import SECONDS, judge_long_runs, long_run
from reverie.simulator.judge.keys import find, goodness
from reverie.simulator.judge.reading import judge_actions
from reverie.simulator.judge.tasks import judge_feats
from reverie.simulator.judge.truth import TrueRun
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelState, VoxelWorld

NOISE = 25.0
"""Standard deviation, of 255."""
BLUR = 4
"""Side of the squares of pixels that are averaged."""
SWAPPED = (("forward", "left"), ("back", "right"), ("jump", "sneak"), ("cameraX", "cameraY"))
SIZE = (48, 80)
FEATS_EACH = 2
FEWEST = 2
"""Clips; an interval needs that many."""
MARK = "▼"


@dataclass(frozen=True, slots=True, eq=False)
class Slumber:
    """One dream that follows the voxel world."""

    voxels: VoxelState
    frame: np.ndarray
    tick: int


class TrueDreamer:
    """Dreams the truth: knows the voxel world in which each clip was filmed, and plays on there."""

    def __init__(self, true: Truth) -> None:
        """`true` must have been made with its states."""
        self._runs = list(_runs(true))
        self._edits = {(edit.edited.seed, edit.image.tobytes()): edit.edited for edit in true.edits}
        self._places = {_name(run.seed, run.start): index for index, run in enumerate(self._runs)}
        height, width, _ = self._runs[0].first.shape
        self.size = (height, width)
        self._world = VoxelWorld(self.size)

    def start(self, scene: Clip, seed: int) -> list[Slumber]:
        """At a clip's last frame."""
        run = self.opening(self._places[_name(seed, scene)])
        return [Slumber(_known(run), self.spoiled(self._world.frame(_known(run)), 0), 0)]

    def opening(self, place: int) -> TrueRun:
        """The run that is dreamed for run number `place`."""
        return self._runs[place]

    def edit(self, state: list[Slumber], image: np.ndarray, mask: np.ndarray | None, strength: float) -> list[Slumber]:
        """The world in which the judge made the edit."""
        voxels = _known(self._edits[state[0].voxels.seed, image.tobytes()])
        return [Slumber(voxels, image, state[0].tick)]

    def stack(self, states: list[list[Slumber]]) -> list[Slumber]:
        """Many dreams."""
        return list(chain.from_iterable(states))

    def step_batch(self, state: list[Slumber], actions: np.ndarray) -> list[Slumber]:
        """One tick."""
        return [self._stepped(one, self.heard(vector)) for one, vector in zip(state, actions, strict=True)]

    def _stepped(self, one: Slumber, vector: np.ndarray) -> Slumber:
        voxels = self._world.step(one.voxels, Action.from_vector(vector))
        return Slumber(voxels, self.spoiled(self._world.frame(voxels), one.tick + 1), one.tick + 1)

    def frames(self, state: list[Slumber]) -> np.ndarray:
        """uint8 [b, h, w, 3]."""
        return np.stack([one.frame for one in state])

    def heard(self, vector: np.ndarray) -> np.ndarray:
        """The action, float32 [25], that is obeyed."""
        return vector

    def spoiled(self, frame: np.ndarray, tick: int) -> np.ndarray:
        """What is shown of a true frame."""
        return frame


class Shuffled(TrueDreamer):
    """Shuffled actions: each key does another one's work, and so does the mouse."""

    def heard(self, vector: np.ndarray) -> np.ndarray:
        """Swapped in pairs."""
        other = vector.copy()
        for one, two in SWAPPED:
            i, j = ACTION_INDEX[one], ACTION_INDEX[two]
            other[[i, j]] = vector[[j, i]]
        return other


class Frozen(TrueDreamer):
    """Frozen frames: nothing ever moves."""

    def _stepped(self, one: Slumber, vector: np.ndarray) -> Slumber:
        return Slumber(one.voxels, one.frame, one.tick + 1)


class Blurred(TrueDreamer):
    """Blurred frames: means of squares of pixels."""

    def spoiled(self, frame: np.ndarray, tick: int) -> np.ndarray:
        """Without glasses."""
        height, width, _ = frame.shape
        means = frame.reshape(height // BLUR, BLUR, width // BLUR, BLUR, 3).mean(axis=(1, 3))
        return means.repeat(BLUR, axis=0).repeat(BLUR, axis=1).astype(np.uint8)


class Noisy(TrueDreamer):
    """Noise, new in every frame."""

    def spoiled(self, frame: np.ndarray, tick: int) -> np.ndarray:
        """Through a bad antenna."""
        grain = np.random.default_rng(tick).normal(0, NOISE, frame.shape)
        return np.clip(frame + grain, 0, 255).astype(np.uint8)


class Elsewhere(TrueDreamer):
    """The dream of another seed, under the same actions."""

    def opening(self, place: int) -> TrueRun:
        """The next run of another seed."""
        others = self._runs[place:] + self._runs[:place]
        return next(run for run in others if run.seed != self._runs[place].seed)

    def edit(self, state: list[Slumber], image: np.ndarray, mask: np.ndarray | None, strength: float) -> list[Slumber]:
        """Its own edit, not the one that was asked for."""
        return state


CORRUPTIONS: dict[str, type[TrueDreamer]] = {
    "shuffled actions": Shuffled,
    "frozen frames": Frozen,
    "blurred frames": Blurred,
    "noise": Noisy,
    "another seed": Elsewhere,
}
SHOULD_NOTICE: dict[str, tuple[str, ...]] = {
    "shuffled actions": ("psnr_8", "psnr_32", "psnr_32_moving", "action_sensitivity", "probe_turn", "probe_jump",
                         "action_f1", "camera_deg", "tasks_16"),
    "frozen frames": ("psnr_8_moving", "psnr_32", "action_sensitivity", "probe_wall", "probe_turn", "probe_pillar",
                      "action_f1", "camera_deg", "tasks_16"),
    "blurred frames": ("psnr_1", "ssim_1", "sharpness_32", "revisit_psnr_1s", "camera_deg", "frechet_16s"),
    "noise": ("psnr_1", "ssim_1", "sharpness_32", "idle_drift", "frechet_16s"),
    "another seed": ("psnr_1", "ssim_1", "idle_drift", "revisit_psnr_1s", "edit_psnr", "tasks_16", "frechet_16s"),
}  # fmt: skip
"""The keys that must call each corruption worse than the truth, where a report has them."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the judge says of the truth and of each corruption of it."""

    truth: dict[str, Any]
    corrupted: dict[str, dict[str, Any]]
    """Reports by corruption."""
    found: dict[str, dict[str, Difference]]
    """By corruption and key: how it differs from the truth."""

    def notices(self, corruption: str, key: str) -> bool:
        """Whether a key calls a corruption worse than the truth: clip by clip, or, where a key has no values of
        clips, by intervals that do not touch.
        """
        if key in self.found[corruption]:
            return self.found[corruption][key].says == "worse"
        sides = (self.corrupted[corruption].get(f"{key}_ci"), self.truth.get(f"{key}_ci"))
        if None in sides:
            return False
        spoiled, true = (sorted(goodness(find(key).aim, np.array(side))) for side in sides)
        return bool(spoiled[1] < true[0])

    def missed(self) -> list[tuple[str, str]]:
        """Corruptions with a key that should have noticed them, and did not."""
        return [
            (corruption, key)
            for corruption, wanted in SHOULD_NOTICE.items()
            for key in wanted
            if self.truth.get(key) is not None and not self.notices(corruption, key)
        ]

    def markdown(self) -> list[str]:
        """All keys by all corruptions."""
        lines = ["| key | truth | " + " | ".join(self.corrupted) + " |", "|---|" + "---|" * (len(self.corrupted) + 1)]
        for key in keys.figures(self.truth):
            cells = [f"`{key.name}`", f"{self.truth[key.name]:.2f}"]
            for corruption, report in self.corrupted.items():
                mark = f" {MARK}" if self.notices(corruption, key.name) else ""
                cells.append("" if report.get(key.name) is None else f"{report[key.name]:.2f}{mark}")
            lines.append(f"| {' | '.join(cells)} |")
        return lines


@dataclass(frozen=True, slots=True, eq=False)
class Readable:
    """True runs, at the size of which readers read, with their states."""

    played: list[TrueRun]
    feats: list[FeatRun]
    long: list[TrueRun]

    @property
    def truth(self) -> Truth:
        """What a `TrueDreamer` has to know."""
        return Truth([*self.played, *(feat.run for feat in self.feats), *self.long], [], {}, [])


def readable(clips: int, each: int, long: int, seed: int = HELD_OUT_SEED) -> Readable:
    """`clips` played clips, `each` runs of every feat, and `long` ways of sixteen seconds."""
    world = VoxelWorld()
    played = voxel_truth(Amounts(clips, 0, 0, 0, 0), seed, CONTEXT, world.size, states=True).played
    feats = feat_runs(world, seed, each, CONTEXT, lambda count: None, states=True)
    ways = [long_run(world, seed + clips + index, CONTEXT, min(SECONDS), states=True) for index in range(long)]
    return Readable(played, feats, ways)


def read(world: TrueDreamer, known: Readable) -> dict[str, Any]:
    """What readers say of the frames that `world` shows, as entries of a report."""
    quiet: Tell = lambda count: None  # noqa: E731
    seen = dream_runs(world, open_dreams(world, known.played, quiet), known.played, quiet)
    true = np.stack([run.frames for run in known.played if run.frames is not None])
    report = judge_actions(seen, true, known.played) | judge_feats(world, known.feats)
    return report | judge_long_runs(world, known.long, known.played) if known.long else report


def examine(true: Truth, known: Readable | None = None) -> Table:
    """The judge on the truth and on all its corruptions, and the readers on those of `known`. `true` must have its
    states.
    """
    reports: dict[str, dict[str, Any]] = {}
    values: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        kinds: dict[str, type[TrueDreamer]] = {"truth": TrueDreamer, **CORRUPTIONS}
        for name, kind in kinds.items():
            report = judge(kind(true), true, Path(place))[0]
            if known is not None:
                report |= read(kind(known.truth), known)
            reports[name], values[name] = without_values(report)
    plain, best = reports.pop("truth"), values.pop("truth")
    found = {name: {one.key: one for one in differences(best, spoiled, list(best))} for name, spoiled in values.items()}
    return Table(plain, reports, found)


def examined(clips: int) -> Table:
    """The same on `clips` held-out worlds, small pictures but for the readers; the slower parts take fewer."""
    few = max(FEWEST, clips // 2)
    amounts = Amounts(max(FEWEST, clips), few, FEWEST, few, 0, FEWEST)
    true = voxel_truth(amounts, HELD_OUT_SEED, CONTEXT, SIZE, states=True)
    return examine(true, readable(amounts.clips, FEATS_EACH, few))


def _runs(true: Truth) -> Iterator[TrueRun]:
    """One run for each start."""
    yield from chain(true.played, true.idle, *true.revisits.values())
    yield from (edit.start for edit in true.edits)
    for scenes in true.probes.values():
        yield from (scene.run for scene in scenes)


def _name(seed: int, start: Clip) -> tuple[int, bytes]:
    return seed, start.frames[-1].tobytes()


def _known(run: TrueRun) -> VoxelState:
    if run.state is None:
        raise ReverieError("the true runs were made without their states")
    return run.state


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; exit code 1 where a key misses what it should notice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="played clips; other parts take fewer (default: 8)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(arguments)
    table = examined(options.clips)
    missed = table.missed()
    print("\n".join(table.markdown()))
    if options.json:
        print(json.dumps({"truth": table.truth, "corrupted": table.corrupted, "missed": missed}, allow_nan=False))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
