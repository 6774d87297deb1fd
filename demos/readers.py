"""How right are the judge's readers? Their figures on true held-out clips, and the card that says so.

python -m reverie.demos.readers                      # measures the readers that ship and prints JSON
python -m reverie.demos.readers --card               # and writes CARD.md beside their weights
python -m reverie.demos.readers --data CLIPS --card  # readers of another game, on its held-out recordings
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from reverie.model.startup import require_for_script

require_for_script("train", __name__)  # before what follows imports torch

import numpy as np

from reverie.demos.train import READERS_HELD
from reverie.model.errors import ReverieError
from reverie.model.motion import SIZE
from reverie.model.readers import SHIPPED, Readers, fitted
from reverie.model.training.lessons import SCALARS
from reverie.simulator.judge import frechet, reading, tasks, truth
from reverie.simulator.judge.feats import NAMES, feat_runs
from reverie.simulator.judge.figures import DIGITS, bar
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.lessons import scalars_of, view_of
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld

CLIPS, FEATS_EACH = 64, 8
FEATS_FROM = HELD_OUT_SEED + 30_000
"""Worlds other than those of `reverie evaluate`."""
COMMAND = "python -m reverie.demos.readers --card"
RECORDED_COMMAND = "python -m reverie.demos.readers --data DIR --card"
LUANTI = SHIPPED.with_name(f"{SHIPPED.name}-luanti")
AHEAD = 2
"""Frames before the first that is read."""


def measure(readers: Readers, clips: int = CLIPS, each: int = FEATS_EACH) -> dict[str, Any]:
    """The figures of readers on `clips` true clips and `each` runs of every feat, all of them held out."""
    world = VoxelWorld()
    runs, frames, known, views = [], [], [], []
    with bar("true clips", clips, "clip") as progress:
        for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + clips):
            runs.append(truth.played_run(world, seed, AHEAD))
            state, _, _ = truth.arrive(world, seed)
            frames.append(world.frame(state))
            known.append(scalars_of(world, state))
            views.append(view_of(state, world.size)[0])
            progress.update()
    true = np.stack([run.frames for run in runs if run.frames is not None])
    seen = np.concatenate((np.stack([run.first for run in runs])[:, None], true), 1)
    actions = np.stack([run.actions for run in runs])
    effect = np.stack([run.effect for run in runs if run.effect is not None])
    report: dict[str, Any] = {"clips": clips, "feat_runs": each * len(NAMES), "readable": list(readers.readable)}
    report |= reading.figures(reading.read_back(readers, seen, actions, effect), "true_")
    report |= still(readers, np.stack(frames), np.stack(known), np.stack(views))
    half = len(true) // 2
    found, alone = frechet.frechet_ratio(
        readers, _blurred(true[:half]), true[:half], true[half:].reshape(-1, *true.shape[2:])
    )
    report |= {"frechet_of_blurred": round(found.value, DIGITS), "frechet_true": round(alone, DIGITS)}
    with bar("feats", each * len(NAMES), "feat") as progress:
        feats = feat_runs(world, FEATS_FROM, each, 1, progress.update)
    right = tasks.judged(readers, feats, np.stack([run.seen for run in feats]))
    return report | tasks.figures(feats, right, "true_")


def measure_recorded(readers: Readers, data: str, clips: int = CLIPS) -> dict[str, Any]:
    """The figures of readers of another game on `clips` windows of the recordings in `data` that training leaves out.

    Beside them those of the readers that ship for the voxel world, on the same frames.
    """
    runs = recorded_runs(data, clips, 0, AHEAD, SIZE, READERS_HELD)
    true = np.stack([run.frames for run in runs if run.frames is not None])
    seen = np.concatenate((np.stack([run.first for run in runs])[:, None], true), 1)
    actions = np.stack([run.actions for run in runs])
    known = [run.effect for run in runs if run.effect is not None]
    effect = np.stack(known) if len(known) == len(runs) else None
    report: dict[str, Any] = {"clips": len(runs), "readable": list(readers.readable)}
    report |= reading.figures(reading.read_back(readers, seen, actions, effect), "true_")
    unadapted = Readers.load()
    unadapted.hotbar = readers.hotbar
    return report | reading.figures(reading.read_back(unadapted, seen, actions, effect), "unadapted_")


def still(readers: Readers, frames: np.ndarray, known: np.ndarray, kinds: np.ndarray) -> dict[str, Any]:
    """What the feature reader tells right of frames uint8 [n, h, w, 3], whose scalars and kinds are known."""
    import torch

    from reverie.model.motion import SLOTS
    from reverie.model.readers import KINDS, PITCH_SCALE

    with torch.inference_mode():
        cells, whole = (part.numpy() for part in readers.feature_reader(fitted(frames)))
    pitch = np.abs(whole[:, 0] * PITCH_SCALE - known[:, SCALARS.index("pitch")])
    slot = whole[:, 5 : 5 + SLOTS].argmax(1) == known[:, SCALARS.index("slot")]
    return {
        "kinds_accuracy": round(float((cells[:, :KINDS].argmax(1) == kinds).mean()), DIGITS),
        "pitch_deg": round(float(np.median(pitch)), DIGITS),
        "slot_accuracy": round(float(slot.mean()), DIGITS),
    }


def _blurred(frames: np.ndarray) -> np.ndarray:
    """Means of 4x4 pixels."""
    *lead, height, width, _ = frames.shape
    means = frames.reshape(*lead, height // 4, 4, width // 4, 4, 3).mean(axis=(-4, -2))
    return means.repeat(4, axis=-3).repeat(4, axis=-2).astype(np.uint8)


def card(report: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    ci = report["true_action_f1_ci"]
    lines = [
        "# Readers",
        "",
        "Small networks that read dreams for `reverie evaluate`: actions, features for the Fréchet distance, and how",
        "scripted feats end. Trained by `reverie train readers` on true clips of worlds with seeds below 1,000,000.",
        "",
        f"On {report['clips']} true held-out clips of 32 ticks (seeds from 1,000,000) and {report['feat_runs']} feats;",
        f"all of it is measured and written by `{COMMAND}`:",
        "",
        "| figure | value |",
        "|---|---|",
        f"| F1 of all keys, where they have an effect | {report['true_action_f1']} ({ci[0]} to {ci[1]}) |",
    ]
    lines += [f"| … {key} | {value} |" for key, value in report["true_action_f1_keys"].items() if value is not None]
    lines += [
        f"| median camera error of turned ticks, degrees | {report['true_camera_deg']} |",
        f"| feats: ended as they truly did | {report['true_tasks_16']} |",
        *(f"| … {name} | {value} |" for name, value in report["true_tasks_16_feats"].items()),
        f"| kinds of blocks in 6x10 squares, right | {report['kinds_accuracy']} |",
        f"| pitch from one frame, median error in degrees | {report['pitch_deg']} |",
        f"| chosen slot from one frame, right | {report['slot_accuracy']} |",
        f"| Fréchet distance of blurred to true frames, over other worlds | {report['frechet_of_blurred']} |",
        "",
        "A key counts where releasing it for that tick would have changed what the next frame is drawn from: the eye",
        "by 2 cm, the hand, the slot, the cracks, a block. Keys that do nothing here (inventory, drop) are not read.",
        "",
    ]
    return "\n".join(lines)


def recorded_card(report: dict[str, Any]) -> str:
    """The model card of readers of another game, in Markdown."""
    ci = report["true_action_f1_ci"]
    lines = [
        "# Readers of Luanti's recordings",
        "",
        "The readers in `../readers`, whose action reader was trained further on recordings of Luanti by",
        "`reverie train readers --data DIR`; the rest is theirs. Trained on footage that shows media of Minetest Game:",
        "© Minetest Game contributors, CC BY-SA 4.0.",
        "",
        f"On {report['clips']} true windows of 32 ticks from map seeds that training leaves out, measured and written",
        f"by `{RECORDED_COMMAND}`:",
        "",
        "| figure | these readers | the voxel world's |",
        "|---|---|---|",
        f"| F1 of all keys | {report['true_action_f1']} ({ci[0]} to {ci[1]}) | {report['unadapted_action_f1']} |",
    ]
    others = report["unadapted_action_f1_keys"]
    lines += [
        f"| … {key} | {value} | {others[key]} |"
        for key, value in report["true_action_f1_keys"].items()
        if value is not None
    ]
    lines += [
        f"| median camera error of turned ticks, degrees | {report['true_camera_deg']} | "
        f"{report['unadapted_camera_deg']} |",
        "",
        "Walking keys count where the eye moved along the ground by 2 cm, jumping where it rose by that, the right",
        "button where a block was placed. Which of two keys that work against each other did nothing is not known, and",
        "a key that was held and overruled counts: part of what is missing to 1. The chosen slot is not read.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures as one line of JSON. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--readers", type=Path, default=SHIPPED, help="a folder of readers (default: those that ship)")
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--feats", type=int, default=FEATS_EACH, help="runs of each feat")
    parser.add_argument("--card", action="store_true", help="write CARD.md beside the weights")
    parser.add_argument("--data", metavar="DIR", help="recordings of the game that the readers are for")
    options = parser.parse_args(arguments)
    if options.data and options.readers == SHIPPED:
        options.readers = LUANTI
    try:
        readers = Readers.load(options.readers)
        if options.data:
            report = measure_recorded(readers, options.data, options.clips)
            text = recorded_card(report)
        else:
            report = measure(readers, options.clips, options.feats)
            text = card(report)
        if options.card:
            (options.readers / "CARD.md").write_text(text, "utf-8")
    except (ReverieError, OSError) as error:
        print(f"readers: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
