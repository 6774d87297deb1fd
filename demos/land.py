"""Commands for the world model: pack worlds, train its networks, assemble, evaluate and look at it.

python -m reverie.demos.land pack --data FOLDER --first 0 --count 400
python -m reverie.demos.land train outline|columns|cells --data FOLDER --held-out FOLDER --out FOLDER --minutes 60
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.model.errors import ReverieError

if TYPE_CHECKING:
    from reverie.model.land.world_model import WorldModel


def _pack(args: argparse.Namespace) -> None:
    from reverie.simulator.voxel.lands import pack_lands

    pack_lands(args.data, args.first, args.count)


def _train(args: argparse.Namespace) -> None:
    import torch

    from reverie.model.training.land import TRAIN

    torch.set_num_threads(args.threads)
    TRAIN[args.part](
        args.data, args.out, args.minutes, not args.fresh, cool_steps=args.cool_steps, held_out=args.held_out
    )


def _assemble(args: argparse.Namespace) -> None:
    from reverie.model.land.export import assemble, export

    runs = {"outline": args.outline, "columns": args.columns, "cells": args.cells}
    assemble(args.out, {part: run for part, run in runs.items() if run is not None})
    print(json.dumps(export(args.out)))


def _model(args: argparse.Namespace) -> WorldModel:
    from reverie.model.land.world_model import SamplerConfig, WorldModel

    changes = {key: value for key in SAMPLER_OPTIONS if (value := getattr(args, key)) is not None}
    return WorldModel.load(args.model, args.threads, SamplerConfig(**changes))


def _evaluate(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from reverie.model.land.pack import open_pack
    from reverie.simulator.evaluation.land import evaluate_land

    model, worlds = _model(args), open_pack(args.held_out)
    with tqdm(total=1.0, desc="lands", bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        figures = evaluate_land(model, worlds, args.lands, progress=lambda share: bar.update(share - bar.n))
    print(json.dumps({f"land_{key}": value for key, value in figures.items()}))


def _sheet(args: argparse.Namespace) -> None:
    from reverie.model.land.pack import open_pack
    from reverie.simulator.evaluation.land_sheet import write_land_sheet

    write_land_sheet(args.out, _model(args), open_pack(args.held_out), args.lands)


SAMPLER_OPTIONS = {
    "cells": str, "outline_passes": int, "column_passes": int, "buried_passes": int, "open_passes": int,
    "outline_temperature": float, "column_temperature": float, "cell_temperature": float, "min_p": float,
    "jitter": float,
}  # fmt: skip
"""Fields of the sampler's configuration that can be set, with their types."""


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=Path, required=True, help="an assembled model's folder")
    command.add_argument("--held-out", type=Path, required=True, help="packed worlds that were not trained on")
    command.add_argument("--lands", type=int, default=8)
    command.add_argument("--threads", type=int, default=1)
    for name, kind in SAMPLER_OPTIONS.items():
        command.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind, default=None)


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    root = argparse.ArgumentParser(prog="python -m reverie.demos.land", description="Commands for the world model.")
    commands = root.add_subparsers(dest="command", required=True)

    pack = commands.add_parser("pack", help="write worlds into a folder; those that are there stay")
    pack.add_argument("--data", type=Path, required=True)
    pack.add_argument("--first", type=int, default=0, help="seed of the first world")
    pack.add_argument("--count", type=int, default=400)
    pack.set_defaults(run=_pack)

    train = commands.add_parser("train", help="train a network; goes on where it stopped; SIGTERM stops it cleanly")
    train.add_argument("part", choices=("outline", "columns", "cells"))
    train.add_argument("--data", type=Path, required=True, help="a folder of packed worlds")
    train.add_argument("--held-out", type=Path, default=None, help="another one, to judge on")
    train.add_argument("--out", type=Path, required=True, help="the folder of the run")
    train.add_argument("--minutes", type=float, required=True)
    train.add_argument("--fresh", action="store_true", help="do not go on from the checkpoint")
    train.add_argument("--cool-steps", type=int, default=0, help="decay the learning rate to zero over so many steps")
    train.add_argument("--threads", type=int, default=1)
    train.set_defaults(run=_train)

    assemble = commands.add_parser("assemble", help="make a model's folder of runs, with ONNX files")
    for part in ("outline", "columns", "cells"):
        assemble.add_argument(f"--{part}", type=Path, required=part != "cells", help="the folder of a run")
    assemble.add_argument("--out", type=Path, required=True)
    assemble.set_defaults(run=_assemble)

    evaluate = commands.add_parser("evaluate", help="print the keys land_* as one JSON object")
    _add_model(evaluate)
    evaluate.set_defaults(run=_evaluate)

    sheet = commands.add_parser("sheet", help="maps and views of dreamed and of true land as a PNG")
    _add_model(sheet)
    sheet.add_argument("--out", type=Path, required=True)
    sheet.set_defaults(run=_sheet)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ReverieError, ValueError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
