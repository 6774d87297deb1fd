"""True and dreamed frames beside each other, under the same actions, for as long as one likes: sheet, film, figures.

    python -m reverie.demos.beside --model tiny --seconds 90 --film beside.mp4 --sheet beside.png
    python -m reverie.demos.beside --model tiny-luanti --data CLIPS --held 0.1 --clips 4 --sheet beside.png

The truth is a held-out voxel world, or recordings (with `--held` those that training left out). In the film it is on
the left, or above where there are several. JSON tells whether a long dream freezes, washes out or turns to noise: its
contrast, its detail and its change from tick to tick, each over that of the truth, in each tenth of the time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.cli import share, whole
from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.clip_names import recordings
from reverie.simulator.dream import DreamWorld
from reverie.simulator.judge import metrics, truth
from reverie.simulator.judge.dreaming import dream_runs, open_dreams
from reverie.simulator.judge.evaluate import context_of
from reverie.simulator.judge.figures import bar, rounded
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.judge.sheet import Strip, write_sheet
from reverie.simulator.judge.truth import TrueRun
from reverie.simulator.outputs import apart, writable_file, writable_picture
from reverie.simulator.video import VideoWriter
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld
from reverie.simulator.world import TICKS_PER_SECOND

COLUMNS = 11
"""Frames of a row of the sheet, the one that both start from included."""
PARTS = 10
"""Parts of the time that figures are given for."""


def voxel_way(world: VoxelWorld, seed: int, context: int, ticks: int) -> TrueRun:
    """A scripted player's `ticks` in the world of a seed, with all their frames."""
    state, player, scene = truth.arrive(world, seed)

    def act(now: Any) -> Action:
        return player.act(world.senses(now))

    clip, _ = truth.film(world, state, act, context + ticks)
    return truth.split(clip, context, f"{seed} {scene}", seed)


def true_ways(options: argparse.Namespace, context: int, size: tuple[int, int]) -> list[TrueRun]:
    """What the dreams are shown beside. Raises ReverieError."""
    ticks = round(options.seconds * TICKS_PER_SECOND)
    if options.data:
        runs = recorded_runs(
            options.data, options.clips, options.seed or 0, context, size, options.held, horizon=ticks, late=True
        )
        return [replace(run, label=run.label.split()[0]) for run in runs]
    world, first = VoxelWorld(size), options.seed or HELD_OUT_SEED
    return [voxel_way(world, first + index, context, ticks) for index in range(options.clips)]


def figures(seen: np.ndarray, true: np.ndarray) -> dict[str, list[float]]:
    """PSNR of dreamed frames uint8 [b, t, h, w, 3], and their contrast, detail and change over those of the truth, in
    PARTS parts of the time.
    """
    found: dict[str, list[float]] = {"psnr": [], "contrast": [], "detail": [], "change": []}
    bounds = np.linspace(0, seen.shape[1], PARTS + 1).astype(int)
    for low, high in pairwise(bounds):
        if high - low < 2:
            continue
        dreamed, truly = (side[:, low:high].astype(np.float32) for side in (seen, true))
        found["psnr"].append(float(metrics.psnr(seen[:, low:high], true[:, low:high]).mean()))
        sides = [(side.std((2, 3)).mean(), np.abs(np.diff(side, axis=1)).mean()) for side in (dreamed, truly)]
        energy = [
            metrics.laplacian_energy(side[:, low:high].reshape(-1, *side.shape[2:])).mean() for side in (seen, true)
        ]
        found["contrast"].append(float(sides[0][0] / sides[1][0]))
        found["detail"].append(float(energy[0] / energy[1]))
        found["change"].append(float(sides[0][1] / sides[1][1]))
    return {name: rounded(np.array(values)) for name, values in found.items()}


def sheet(path: Path, runs: Sequence[TrueRun], true: np.ndarray, seen: np.ndarray) -> None:
    """Two rows for each run, the truth above the dream, COLUMNS of their frames from tick 0 on."""
    ticks = np.linspace(0, true.shape[1], COLUMNS).round().astype(int)
    captions = [f"{tick / TICKS_PER_SECOND:g} s" for tick in ticks]
    strips: list[Strip] = []
    for run, *sides in zip(runs, true, seen, strict=True):
        for name, frames in zip(("true", "dream"), sides, strict=True):
            shown = np.concatenate((run.first[None], frames))[ticks]
            strips.append(Strip(name, shown, () if strips else captions))
    write_sheet(path, strips)


def film(path: Path, true: np.ndarray, seen: np.ndarray) -> None:
    """The truth on the left and the dream on the right, or above and below where there are several runs."""
    if len(true) == 1:
        frames = np.concatenate((true[0], seen[0]), axis=2)
    else:
        frames = np.concatenate([np.concatenate(list(side), axis=2) for side in (true, seen)], axis=1)
    writer = VideoWriter(path, (frames.shape[1], frames.shape[2]))
    for frame in frames:
        writer.write(frame)
    writer.close()


def check_outputs(options: argparse.Namespace) -> None:
    """Raises ReverieError where the sheet or the film cannot be written, or would replace a recording."""
    outputs = [path for path in (options.sheet, options.film) if path is not None]
    if options.sheet:
        writable_picture(options.sheet)
    if options.film:
        if options.film.suffix.lower() != ".mp4":
            raise ReverieError(f"{options.film}: films are written as .mp4")
        writable_file(options.film)
    if options.data:
        apart(outputs, dict.fromkeys(recordings(Path(options.data)), "a recording to look at"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line of JSON. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clips", type=whole(1), default=1)
    parser.add_argument("--seed", type=whole(0), help="of the first world, or of the choice among recordings")
    parser.add_argument("--data", metavar="DIR", help="recordings, instead of voxel worlds")
    parser.add_argument("--held", type=share, help="only of the map seeds that this share holds out")
    parser.add_argument("--sheet", type=Path, metavar="PNG")
    parser.add_argument("--film", type=Path, metavar="MP4")
    options = parser.parse_args(arguments)
    try:
        check_outputs(options)
        world = DreamWorld.load(options.model)
        runs = true_ways(options, context_of(world.config), world.size)
        with bar("dreaming", sum(len(run.start) + len(run.actions) for run in runs), "frame") as progress:
            seen = dream_runs(world, open_dreams(world, runs, progress.update), runs, progress.update)
        true = np.stack([run.frames for run in runs if run.frames is not None])
        if options.sheet:
            sheet(options.sheet, runs, true, seen)
        if options.film:
            film(options.film, true, seen)
    except (ReverieError, OSError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"model": options.model, "runs": [run.label for run in runs]} | figures(seen, true)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
