"""`reverie train finetune` for models with a world behind the dream: the frame model learns how footage of one's own
looks.

The footage needs no labels: the model's own lifter says what it shows (`reverie.model.training.footage`). Whole map
seeds are held out; the frames drawn in cells lifted from them are measured before and after.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from reverie.demos.train import machine
from reverie.model.caster.camera import Camera
from reverie.model.dream.model_folder import FRAME, LIFT, DreamConfig, read_config
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.errors import ModelError
from reverie.model.export_networks import export_frames, load_halves
from reverie.model.frame.config import FrameConfig
from reverie.model.frame.network import FrameModel
from reverie.model.lift.pose import read_place, read_rotation
from reverie.model.lift.runtime import OnnxLift
from reverie.model.training.footage import FootageLifter, FootagePart, LiftedView, footage_figures, screen_layer
from reverie.model.training.frames import FramePart
from reverie.model.training.trainer import TrainerConfig, load_ema, train_part
from reverie.model.weights import model_folder
from reverie.simulator.clip_split import groups_of, held_out, recordings
from reverie.simulator.clips import Clip
from reverie.simulator.errors import ClipError
from reverie.simulator.outputs import apart, writable_folder
from reverie.simulator.text import printable

WINDOW = 25
"""Frames of a window."""
LIFTED = (0, 8, 16, 24)
"""Frames of a window that are lifted."""
SHOWN = (4, 12, 20)
"""Frames of a window that are drawn in its cells."""
READING_TIME = 0.3
"""Share of the time in which footage is read and lifted."""
MOST_TICKS = 1200
"""Of one recording that are read."""
RATE = 2e-3
CHOOSING, ENOUGH = 0.15, 4
"""Share of the recordings, of so many at least, that are not learned from: the new weights' share is chosen by them."""
MOST_WINDOWS = 240
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
REHEARSED_WORLDS, REHEARSED_VIEWS = 12, 20
REHEARSED_FROM = 900_000
BEFORE, REPORT, TABLE, MODEL, TRAINED, REPLAYED = "before.json", "report.json", "report.md", "model", "frames", "replay"


@dataclass(frozen=True, eq=False)
class Window:
    """Frames uint8 [n, h, w, 3] that follow each other, the cameras of all, and which pixels are a screen layer."""

    frames: np.ndarray
    cameras: list[Camera]
    screen: np.ndarray


def read_windows(path: Path, config: DreamConfig, lifter: OnnxLift, eye: float, count: int, seed: int) -> list[Window]:
    """Up to `count` windows of a recording, spread over it; of single frames where it holds no poses.

    Raises ClipError.
    """
    clip = Clip.load_end(path, MOST_TICKS, size=config.size)
    screen = screen_layer(clip.frames)
    poses = None if clip.poses is None else np.asarray(clip.poses, np.float64)
    rng = np.random.default_rng(seed)
    if poses is not None and len(clip) >= WINDOW:
        starts = rng.permutation(np.arange(0, len(clip) - WINDOW + 1, WINDOW))
        windows = []
        for start in starts.tolist():
            some = poses[start : start + WINDOW]
            if np.isfinite(some).all() and _one_take(clip, start):
                cameras = [Camera((x, y + eye, z), yaw, pitch) for x, y, z, yaw, pitch in _low(some).tolist()]
                windows.append(Window(clip.frames[start : start + WINDOW], cameras, screen))
            if len(windows) == count:
                break
        if windows:
            return windows
    chosen = rng.permutation(len(clip))[:count]
    return [Window(clip.frames[k : k + 1], [_read_camera(clip.frames[k], lifter)], screen) for k in chosen.tolist()]


def _one_take(clip: Clip, start: int) -> bool:
    """Whether no frame of a window was left out."""
    return clip.ticks is None or int(clip.ticks[start + WINDOW - 1] - clip.ticks[start]) == WINDOW - 1


def _low(poses: np.ndarray) -> np.ndarray:
    """Poses within the heights of a world."""
    from reverie.simulator.dream_world import HIGHEST_FEET, LOWEST_FEET

    if LOWEST_FEET <= poses[-1, 1] <= HIGHEST_FEET:
        return poses
    moved = poses.copy()
    moved[:, 1] += 24 - np.floor(poses[-1, 1])
    return moved


def _read_camera(frame: np.ndarray, lifter: OnnxLift) -> Camera:
    yaw, pitch, _ = read_rotation([frame])
    x, y, z = read_place(lifter, frame, yaw, pitch).tolist()
    return Camera((x, 25.0 + y, z), yaw, pitch)


def lift_windows(windows: Iterable[Window], lifter: FootageLifter) -> list[LiftedView]:
    """All views of windows in which anything is explained."""
    out: list[LiftedView] = []
    for window in windows:
        whole = len(window.frames) == WINDOW
        lifted, shown = (LIFTED, SHOWN) if whole else ((0,), (0,))
        views = lifter.views(list(window.frames), window.cameras, lifted, shown, window.screen)
        out += [view for view in views if view.counts.any()]
    return out


def finetune(
    model: str = "tiny",
    *,
    data: str,
    out: str,
    minutes: float,
    resume: bool = False,
    seed: int = 0,
    replay: str | None = None,
    replay_share: float = 0.25,
    held: float = 0.1,
    judged_windows: int = 16,
    rate: float = 0.05,
    blended: float | None = None,
) -> dict[str, Any]:
    """Trains the frame model of `model` on the recordings in `data` for `minutes` (judging comes on top), and writes
    `out/model`.

    `replay_share` of what it sees are labelled views, of the voxel world or of the folder `replay`. `held` is the share
    of map seeds that it is judged by and never sees, in `judged_windows` windows. `rate` is the share of the learning
    rate that fresh weights are trained with, `blended` the share of the new weights in the model's (None: what draws
    best recordings that are set aside for this question, if there are ENOUGH). Raises ReverieError.
    """
    start, target = model_folder(model), Path(out)
    config = read_config(start)
    if not Path(data).is_dir():
        raise ModelError(f"data {data!r}: fine-tuning wants a folder of recordings")
    check_needs(start, target, replay if replay_share else None)
    paths = recordings(Path(data))
    kept = held_out(paths, held)
    seen = [path for path in paths if path not in kept]
    if not seen:
        raise ClipError(f"{data}: holds no recording (NAME.mp4 and NAME.jsonl) to learn from")
    aside = held_out(seen, CHOOSING) if blended is None and len(seen) >= ENOUGH else set()
    seen = [path for path in seen if path not in aside]
    seconds = 60 * minutes
    eye = Dynamics.load(start / "dynamics").facts.eye
    network = FrameModel(FrameConfig(len(config.vocabulary), len(config.entities)))
    load_halves(network, start / FRAME / f"{FRAME}.safetensors")
    lifter = OnnxLift(start / LIFT)
    lifting = FootageLifter(lifter, config.vocabulary, network)

    def lifted(chosen: list[Path], most: int, until: float, title: str) -> list[LiftedView]:
        """Views of a window of every recording, then of a second one, and so on, at least one view.

        A recording that cannot be read costs itself alone.
        """
        each = max(1, most // max(1, len(chosen)))
        windows: list[list[Window]] = []
        for number, path in enumerate(chosen):
            try:
                windows.append(read_windows(path, config, lifter, eye, each, seed + number))
            except ClipError as error:
                tqdm.write(f"left out: {printable(str(error))}", file=sys.stderr)
        turns = [one[turn] for turn in range(each) for one in windows if turn < len(one)]
        views: list[LiftedView] = []
        for window in tqdm(turns, desc=title, unit=" windows", disable=None, leave=False):
            if views and time.monotonic() > until:
                break
            views += lift_windows([window], lifting)
        return views

    held_views = lifted(sorted(kept), judged_windows, math.inf, "lifting held-out clips") if kept else []
    asked = lifted(sorted(aside), judged_windows, math.inf, "lifting clips to choose by") if aside else []
    began = time.monotonic()
    own = lifted(seen, MOST_WINDOWS, began + seconds * READING_TIME, "lifting clips")
    if not own:
        raise ClipError(f"{data}: holds no recording that can be used")
    before = footage_figures(network, held_views)
    rehearsal = None
    if replay_share:
        folder = Path(replay) if replay is not None else _record_rehearsal(target / REPLAYED)
        rehearsal = FramePart(folder, folder, config.vocabulary, config.entities, pool=96)
        rehearsal.network = network
    part = FootagePart(network, own, held_views, rehearsal, replay_share)
    left = max(seconds - (time.monotonic() - began), seconds * 0.3)
    trainer = TrainerConfig(lr=RATE * rate, ema=0.998, decay_share=0.5, seed=seed)
    train_part(part, target / TRAINED, left / 60, trainer, resume=resume)
    load_ema(target / TRAINED, network)
    old = start / FRAME / f"{FRAME}.safetensors"
    share = choose_share(network, old, asked) if blended is None else {"share": blended}
    _blend(network, old, share["share"])
    made = target / MODEL
    shutil.copytree(start, made, dirs_exist_ok=True)
    export_frames(network, made / FRAME, config.size)
    after = footage_figures(network, held_views)
    groups = groups_of(paths)
    report: dict[str, Any] = {
        "from": model, "model": str(made), "minutes": minutes, "machine": machine(), "clips": len(seen),
        "views": len(own), "held": sorted({groups[path] for path in kept}), "held_views": len(held_views),
        "before": before, "after": after, "blend": share,
    }  # fmt: skip
    report = {key: _finite(value) for key, value in report.items()}
    (target / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
    (target / TABLE).write_text(printable(table(report)), "utf-8")
    return report


def check_needs(start: Path, target: Path, replay: str | None) -> None:
    """Raises ReverieError, before any work, where a package is missing, a result cannot be written or would replace the
    model that is started from, or there is nothing to rehearse."""
    from reverie.model.onnx_export import require_packages
    from reverie.model.training.view_data import view_files

    require_packages()
    writable_folder(target)
    for name in (MODEL, TRAINED, REPLAYED):
        writable_folder(target / name)
    apart([target / MODEL], {start: "the model to start from"})
    if replay is not None:
        view_files(replay)


def _record_rehearsal(folder: Path) -> Path:
    """A folder of labelled views of the voxel world, recorded if it is not there yet."""
    from reverie.simulator.voxel.views import write_views

    with tqdm(total=REHEARSED_WORLDS, desc="recording", unit="world", disable=None, leave=False) as bar:
        seeds = range(REHEARSED_FROM, REHEARSED_FROM + REHEARSED_WORLDS)
        write_views(folder, seeds, REHEARSED_VIEWS, progress=lambda done, _: bar.update(done - bar.n))
    return folder


def choose_share(network: FrameModel, old: Path, views: list[LiftedView]) -> dict[str, float]:
    """The share of the network's weights that, the rest being `old` ones, draws views best, and what all are worth."""
    if not views:
        return {"share": 1.0}
    new = {name: value.clone() for name, value in network.state_dict().items()}
    worth = {}
    for share in BLENDS:
        _blend(network, old, share)
        worth[share] = footage_figures(network, views)["psnr"]
        network.load_state_dict(new)
    best = max(BLENDS, key=lambda share: worth[share])
    return {"share": best, **{f"worth_{share:g}": round(dB, 3) for share, dB in worth.items()}}


def _blend(network: FrameModel, old: Path, share: float) -> None:
    """Mixes the network's weights with old ones, which have the rest of the share."""
    new = {name: value.clone() for name, value in network.state_dict().items()}
    load_halves(network, old)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(new[name], share)


def _finite(value: Any) -> Any:
    """JSON without NaN."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def table(report: dict[str, Any]) -> str:
    """The figures before and after as Markdown."""
    lines = [
        f"Fine-tuned from `{report['from']}` for {report['minutes']:g} minutes on {report['machine']}: "
        f"{report['views']} lifted views of {report['clips']} recordings.",
        f"Held out: {', '.join(report['held']) or 'nothing'} ({report['held_views']} views).",
        "",
        "| on held-out recordings | before | after |",
        "|---|---|---|",
    ]
    for name, title in (("psnr", "PSNR where lifted cells explain a pixel, dB"), ("counts", "share of such pixels")):
        before, after = report["before"][name], report["after"][name]
        if before is not None:
            lines.append(f"| {title} | {before:.2f} | {after:.2f} |")
    return "\n".join(lines) + "\n"
