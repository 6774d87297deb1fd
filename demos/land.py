"""Commands for the world model: pack worlds, train its networks, assemble, evaluate and look at it.

python -m reverie.demos.land pack --data FOLDER --first 0 --count 400
python -m reverie.demos.land train outline|columns|cells --data FOLDER --held-out FOLDER --out FOLDER --minutes 60
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reverie.model.errors import ReverieError


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
