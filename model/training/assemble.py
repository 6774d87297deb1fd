"""Makes a model's folder, as `reverie.model.dream.model_folder` describes it, of what a training queue has trained."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reverie.model.caster.gbuffer import EntityKind
from reverie.model.cells import Vocabulary
from reverie.model.dream.model_folder import CONFIG, DYNAMICS, FRAME, LAND, LIFT, DreamConfig
from reverie.model.errors import ModelError
from reverie.model.training.trainer import CHECKPOINT, load_ema
from reverie.model.training.view_data import view_files

GROUND_FILES = 50
"""Worlds of views that the usual height of the ground is found from."""


def usual_ground(views: Path) -> int:
    """The median height, in whole metres, of the feet of those who took views. Raises ModelError where there are none.

    Eyes are less than two metres above feet, and stand in the second cell above the ground.
    """
    files = view_files(views)[:GROUND_FILES]
    if not files:
        raise ModelError(f"{views}: holds no views")
    return math.floor(float(np.median(np.concatenate([file.cameras()[:, 1] for file in files])))) - 1


def assemble(
    queue: Path, out: Path, vocabulary: Vocabulary, entities: tuple[EntityKind, ...], size: tuple[int, int] = (96, 160)
) -> list[str]:
    """Exports the averaged weights of every part that `queue` has trained into `out`; gives the parts' names.

    A part that is not trained stays as `out` has it. Raises ModelError, also where the package onnx is missing.
    """
    from reverie.model.export_networks import export_frames, export_lifter
    from reverie.model.frame.config import FrameConfig
    from reverie.model.frame.network import FrameModel
    from reverie.model.land import export as land_export
    from reverie.model.lift.network import LiftConfig, Lifter
    from reverie.model.training.lift import ENTITY_TOKENS

    out.mkdir(parents=True, exist_ok=True)
    config = DreamConfig(size, vocabulary, entities, usual_ground(queue / "data" / "views"))
    (out / CONFIG).write_text(json.dumps(config.to_dict(), indent=1) + "\n", "utf-8")

    def frames() -> None:
        model = FrameModel(FrameConfig(len(vocabulary), len(entities)))
        load_ema(queue / "frames", model)
        export_frames(model, out / FRAME, size)

    def lifter() -> None:
        model = Lifter(LiftConfig(len(vocabulary) + ENTITY_TOKENS))
        load_ema(queue / "lift", model)
        export_lifter(model, out / LIFT, size)

    def land() -> None:
        runs = {part: queue / part for part in land_export.PARTS if (queue / part / "ema.safetensors").is_file()}
        land_export.assemble(out / LAND, runs)
        land_export.export(out / LAND)

    def dynamics() -> None:
        (out / DYNAMICS).mkdir(exist_ok=True)
        for name in ("dynamics.json", "dynamics.safetensors"):
            shutil.copyfile(queue / "dynamics" / name, out / DYNAMICS / name)

    parts: dict[str, tuple[Path, Callable[[], None]]] = {
        FRAME: (queue / "frames" / CHECKPOINT, frames),
        LIFT: (queue / "lift" / CHECKPOINT, lifter),
        LAND: (queue / "columns" / "ema.safetensors", land),
        DYNAMICS: (queue / "dynamics" / "dynamics.safetensors", dynamics),
    }
    made = []
    for name, (trained, make) in parts.items():
        if trained.is_file():
            make()
            made.append(name)
    return made


def export_again(folder: Path, out: Path) -> list[str]:
    """Writes a model's folder to `out` with its graphs exported anew from its weights; gives the parts' names.

    Raises ModelError, also where the package onnx is missing.
    """
    from reverie.model.dream.model_folder import read_config
    from reverie.model.export_networks import export_frames, export_lifter, load_halves
    from reverie.model.frame.config import FrameConfig
    from reverie.model.frame.network import FrameModel
    from reverie.model.land import export as land_export
    from reverie.model.lift.network import LiftConfig, Lifter
    from reverie.model.onnx_export import require_packages

    require_packages()
    config = read_config(folder)
    if out.resolve() != folder.resolve():
        shutil.copytree(folder, out, dirs_exist_ok=True)
    frames = FrameConfig.from_dict(json.loads((out / FRAME / "frame.json").read_text("utf-8")))
    model = FrameModel(frames)
    load_halves(model, out / FRAME / "frame.safetensors")
    export_frames(model, out / FRAME, config.size)
    lift = LiftConfig.from_dict(json.loads((out / LIFT / "lift.json").read_text("utf-8")))
    lifter = Lifter(lift)
    load_halves(lifter, out / LIFT / "lift.safetensors")
    export_lifter(lifter, out / LIFT, config.size)
    made = [FRAME, LIFT]
    if (out / LAND).is_dir():
        land_export.export(out / LAND)
        made.append(LAND)
    return made
