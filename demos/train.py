"""`reverie train`: a model's data and networks as one queue (`reverie.demos.queue`), or the evaluation's readers."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from reverie.model.config import ModelConfig, preset
from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError
from reverie.model.training.shards import META
from reverie.model.weights import model_folder
from reverie.simulator.outputs import writable_folder
from reverie.simulator.shards import ShardPlan, clips_to_shards, write_shards

if TYPE_CHECKING:
    from reverie.model.readers import Readers

MOST_SHARDS = 4096
READERS = "readers"
"""Not a stage of the queue: the networks that measure dreams (`reverie.model.readers`)."""
READERS_RECORDING_SHARE = 0.25
READERS_HELD = 0.1
"""Share of map seeds that readers of another game are judged by."""
FEAT_WORLDS = 48
"""Worlds in which the sixteen feats are recorded for the readers."""
FEAT_STREAM = 9


def gather(data: str, out: Path, config: ModelConfig, seconds: float, seed: int) -> list[Path]:
    """Folders of shards of `data`: voxel (recorded now, for `seconds`), a folder of shards, or a folder of clips.

    Raises ModelError where there is nothing to learn from.
    """
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and not any(Path(data).glob(f"*/{META}")):
        raise ModelError(f"data {data!r}: several processes share a folder of shards; let one process record it first")
    if data == "voxel":
        here = out / "data"
        with tqdm(desc="recording", unit=" ticks") as bar:
            plan, workers = ShardPlan(config.size, config.shapes), usable_cores()
            write_shards(here, MOST_SHARDS, seed, plan, workers, seconds, bar.update)
        return [here]
    folder = Path(data)
    if not folder.is_dir():
        raise ModelError(f"data {data!r}: neither 'voxel' nor a folder")
    if any(folder.glob(f"*/{META}")):
        return [folder]
    here = out / "data"
    if clips_to_shards(folder, here, config.size) == 0:
        raise ModelError(f"{data}: holds neither training shards nor clips")
    return [here]


def train_readers(data: str, out: Path, minutes: float, seed: int, init: Path | None = None) -> dict[str, Any]:
    """Trains the judge's readers on recordings of the voxel world, or those that ship further on a folder of clips of
    another game; they are in `out/model`. Raises ModelError.

    Of those in `init` features and feats are kept, and only what reads actions is trained anew.
    """
    from reverie.model.readers import Readers

    base = Readers.load(init) if init else None
    if Path(data).is_dir() and not any(Path(data).glob(f"*/{META}")):
        return _adapt_readers(base or Readers.load(), Path(data), out, 60 * minutes, seed)
    from reverie.model.training.readers import FEATS, train_readers
    from reverie.simulator.judge.feats import NAMES, record_feats
    from reverie.simulator.lessons import write_lesson
    from reverie.simulator.voxel.world import HELD_OUT_SEED

    config, seconds = replace(preset("tiny"), shapes=()), 60 * minutes
    began = time.perf_counter()
    (shards,) = gather(data, out, config, seconds * READERS_RECORDING_SHARE, seed)
    _write_lessons(shards, out / "lessons", write_lesson)
    feats = out / FEATS
    if base is None and not feats.is_file():
        worlds = np.random.default_rng([seed, FEAT_STREAM]).integers(HELD_OUT_SEED, size=FEAT_WORLDS)
        with tqdm(desc="feats", total=2 * len(NAMES) * FEAT_WORLDS, unit="run") as bar:
            record_feats(feats, worlds.tolist(), config.size, bar.update)
    left = max(seconds - (time.perf_counter() - began), seconds * READERS_RECORDING_SHARE)
    return train_readers(shards, out / "lessons", feats, out, left, seed, base)


def _adapt_readers(base: Readers, clips: Path, out: Path, seconds: float, seed: int) -> dict[str, Any]:
    """On the recordings that `held_out` does not keep for judging."""
    from reverie.model.training.readers import adapt_readers
    from reverie.simulator.clip_split import held_out, recordings
    from reverie.simulator.lessons import write_clip_lesson

    began = time.perf_counter()
    paths = recordings(clips)
    learned = set(paths) - held_out(paths, READERS_HELD)
    if clips_to_shards(clips, out / "data", preset("tiny").size, learned) == 0:
        raise ModelError(f"{clips}: holds neither training shards nor clips")
    _write_lessons(out / "data", out / "lessons", write_clip_lesson)
    left = max(seconds - (time.perf_counter() - began), seconds * READERS_RECORDING_SHARE)
    return adapt_readers(base, out / "data", out / "lessons", out, left, seed)


def _write_lessons(shards: Path, out: Path, write: Callable[[Path, Path], int]) -> None:
    """A lesson for each shard that has none, or that of another shard of that name."""
    from reverie.simulator.lessons import is_lesson_of

    with tqdm(desc="lessons", unit=" shards") as bar:
        for meta in sorted(shards.glob(f"*/{META}")):
            lesson = out / meta.parent.name
            if not is_lesson_of(lesson, meta.parent):
                write(meta.parent, lesson)
            bar.update()


def machine() -> str:
    """What this run is measured on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{usable_cores()} CPU cores ({platform.machine()})"


def train(
    phase: str,
    data: str = "voxel",
    out: str = "runs/tiny",
    preset_name: str = "tiny",
    minutes: float = 60.0,
    resume: bool = False,
    seed: int = 0,
    init: str | None = None,
    decay: float = 0.0,
    background: bool = False,
) -> dict[str, Any]:
    """Trains a model as a queue of stages (`all`), or one of them, for `minutes` in all; or the evaluation's readers.

    The queue goes on from what `out` holds, and leaves a model in `out/model` once every part has been trained. `init`
    is a model whose weights new parts begin with, `decay` the share of the minutes, at their end, in which learning
    rates fall. Gives the ledger. `status` trains nothing and tells where the queue stands. Raises ReverieError.
    """
    if phase == READERS:
        for name in ("data", "lessons", "model"):
            writable_folder(Path(out) / name)
        return {"machine": machine(), "minutes": minutes} | train_readers(
            data, Path(out), minutes, seed, Path(init) if init else None
        )
    from reverie.demos import queue

    if data != "voxel":
        raise ModelError(f"--data {data}: the queue records its own worlds; recordings are for finetune and {READERS}")
    if preset_name not in queue.PRESETS:
        raise ModelError(f"preset {preset_name!r} is unknown; there is {', '.join(queue.PRESETS)}")
    target = Path(out)
    writable_folder(target)
    stages = queue.make_stages(target, decay=decay, init=model_folder(init) if init else None)
    names = [stage.name for stage in stages]
    if phase not in ("all", "status", *names):
        raise ModelError(f"phase {phase!r}: there are {', '.join(names)}, all, status, finetune and {READERS}")
    if phase == "status":
        return queue.status(target, stages)
    torch.set_num_threads(1)
    chosen = [stage for stage in stages if phase in ("all", stage.name)]
    if background:
        queue.give_way()
    ledger = queue.run_queue(target, chosen, minutes, minutes if decay else queue.SLICE_MINUTES)
    result: dict[str, Any] = {"preset": preset_name, "minutes": minutes, "machine": machine(), "ledger": ledger}
    if queue.is_whole(target):
        result |= queue.finish(target)
    return result
