"""`reverie train`: recordings, then the phases of a preset, then a model folder that is ready to play."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from reverie.model.config import ModelConfig, preset
from reverie.model.cores import allowed_cores, usable_cores
from reverie.model.errors import ModelError
from reverie.model.training.loop import usual_loop
from reverie.model.training.phases import PHASES, choose_device, last_record, train_phase
from reverie.model.training.shards import META, read_meta
from reverie.model.weights import model_folder
from reverie.simulator.outputs import writable_folder
from reverie.simulator.shards import ShardPlan, clips_to_shards, write_shards
from reverie.simulator.text import printable

if TYPE_CHECKING:
    from reverie.model.readers import Readers

RECORDING_SHARE = 0.08
"""Of the time of `train all` on the voxel world."""
PHASE_SHARES: dict[str, float] = {"dynamics": 0.6, "distill": 0.4}
"""How `train all` divides the rest."""
TRAINING_SHARE = 0.5
"""Least share of the time that is left for training, however long a slow machine took to record."""
MOST_SHARDS = 4096
LAST_SHARD_SECONDS = 30.0
"""No new shard is begun so shortly before training ends."""
JUDGED_WORLDS = 16
"""Held-out worlds that a new model's first card has figures of."""
READERS = "readers"
"""Not a phase of a preset: the networks that judge dreams (`reverie.model.readers`)."""
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


def _recorded(folder: Path) -> bool:
    """Whether there are shards in a folder, all of the voxel world."""
    metas = [read_meta(meta.parent) for meta in folder.glob(f"*/{META}")]
    return bool(metas) and all(str((meta or {}).get("origin")).startswith("voxel world") for meta in metas)


def recorders() -> int:
    """Processes that record while training goes on: none where the cores are what trains, and else what is left."""
    device = choose_device()
    return 0 if device.type == "cpu" else max(0, allowed_cores() - 1 - usual_loop(device).loaders)


@contextmanager
def recording_beside(folder: Path, config: ModelConfig, seed: int, workers: int, seconds: float) -> Iterator[None]:
    """Adds shards of the voxel world to `folder` with `workers` processes while something else goes on."""
    if not workers or seconds <= LAST_SHARD_SECONDS:
        yield
        return
    plan = ShardPlan(config.size, config.shapes)
    arguments = (folder, MOST_SHARDS, seed, plan, workers, seconds - LAST_SHARD_SECONDS)
    recorder = threading.Thread(target=write_shards, args=arguments, name="recorder")
    recorder.start()
    try:
        yield
    finally:
        recorder.join()


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
    rate: float = 1.0,
) -> dict[str, Any]:
    """Trains all phases, or one, for `minutes` in all, at `rate` times the usual learning rates.

    The model folder is `out/model`. Raises ModelError.
    """
    if phase == READERS:
        for name in ("data", "lessons", "model"):
            writable_folder(Path(out) / name)
        return {"machine": machine(), "minutes": minutes} | train_readers(
            data, Path(out), minutes, seed, Path(init) if init else None
        )
    config, loop = preset(preset_name), usual_loop(choose_device()).slowed(rate)
    if phase != "all" and phase not in PHASES:
        raise ModelError(
            f"phase {phase!r}: preset {preset_name} has {', '.join(PHASES)}, and all; there is {READERS} besides"
        )
    target = Path(out)
    start = model_folder(init) if init else None
    for name in ("data", "model", *PHASES):
        writable_folder(target / name)
    began = time.perf_counter()
    recording = 60 * minutes * RECORDING_SHARE if data == "voxel" else 0.0
    known = [target / "data"] if resume and data == "voxel" and _recorded(target / "data") else None
    folders = known or gather(data, target, config, recording, seed)
    left = 60 * minutes - (time.perf_counter() - began if phase == "all" else recording)
    left = max(left, 60 * minutes * TRAINING_SHARE)
    result: dict[str, Any] = {"preset": preset_name, "minutes": minutes, "machine": machine()}
    with recording_beside(target / "data", config, seed, recorders() if data == "voxel" else 0, left):
        for name in PHASES if phase == "all" else (phase,):
            seconds = left * (PHASE_SHARES[name] if phase == "all" else 1.0)
            folder = train_phase(name, folders, target, config, seconds, seed, resume, start, loop)
            result[name] = last_record(target / name)
            result["model"] = str(folder)
    if phase in ("all", "distill") and int(os.environ.get("RANK", "0")) == 0:
        try:
            result |= _finish(target, data, config)
        except (ImportError, ModelError) as error:  # such as an accelerator's machine, which has what training needs
            result["unfinished"] = str(error)
            print(f"{target / 'model'}: the weights are there, exports and card are not: {error}", file=sys.stderr)
    return result


def _finish(target: Path, data: str, config: ModelConfig) -> dict[str, Any]:
    """Exports, and a first card. Raises ModelError and ImportError where optional packages are missing."""
    from reverie.model.onnx_export import export

    exported = export(str(target / "model"), str(target / "model"))
    _write_first_card(target, data, config)
    return exported


def _write_first_card(target: Path, data: str, config: ModelConfig) -> None:
    """A card for the new model, with figures of a few held-out worlds."""
    from reverie.demos.card import first_card
    from reverie.demos.finetune import judged, voxel_runs

    runs = {"voxel": voxel_runs(JUDGED_WORLDS, config.memory + config.past, config.size)}
    figures = judged(target / "model", runs, target / "judged")["voxel"]
    text = first_card(target / "model", data, target, machine(), figures)
    (target / "model" / "CARD.md").write_text(printable(text), "utf-8")
