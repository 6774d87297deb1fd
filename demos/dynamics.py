"""Commands for dynamics: record walks, train on them, measure in closed loop.

python -m reverie.demos.dynamics record --data FOLDER --shards 32                 # add --held-out for held-out worlds
python -m reverie.demos.dynamics train --data FOLDER --held FOLDER --out FOLDER --minutes 60
python -m reverie.demos.dynamics evaluate --model FOLDER                           # one JSON object

With --gravity 0.5 --permeable leaves, `record` and `evaluate` are about a world of other laws; `train` is as ever.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from reverie.model.errors import ReverieError
from reverie.simulator.voxel.laws import Laws


def _laws(args: argparse.Namespace) -> Laws:
    try:
        return Laws(args.gravity, tuple(args.permeable))
    except ValueError as error:
        raise ReverieError(str(error)) from error


def _record(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from reverie.simulator.voxel.walks import write_walks

    with tqdm(total=args.shards, desc="walks", unit="shard") as bar:
        written = write_walks(
            args.data, range(args.shards), args.seed, laws=_laws(args), held_out=args.held_out,
            processes=args.processes, progress=lambda done, _: bar.update(done - bar.n),
        )  # fmt: skip
    print(json.dumps({"written": written}))


def _train(args: argparse.Namespace) -> None:
    import torch

    from reverie.model.training.dynamics import train

    torch.set_num_threads(args.threads)

    def progress(step: int, figures: dict[str, float]) -> None:
        if any(name.startswith("held_") for name in figures):
            print(step, {name: round(value, 4) for name, value in figures.items()}, file=sys.stderr, flush=True)

    figures = train(
        args.data, args.out, args.minutes, not args.fresh, held_folder=args.held, progress=progress
    )  # fmt: skip
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


def _evaluate(args: argparse.Namespace) -> None:
    from reverie.model.dynamics.dynamics import Dynamics
    from reverie.simulator.evaluation.dynamics import dynamics_figures

    figures = dynamics_figures(Dynamics.load(args.model), _laws(args), args.share, args.block)
    print(json.dumps(figures))


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    root = argparse.ArgumentParser(prog="python -m reverie.demos.dynamics", description=__doc__.splitlines()[0])
    commands = root.add_subparsers(dest="command", required=True)
    laws = argparse.ArgumentParser(add_help=False)
    laws.add_argument("--gravity", type=float, default=1.0, help="times the usual one (default: 1)")
    laws.add_argument("--permeable", nargs="*", default=[], metavar="BLOCK", help="blocks that hold nobody")

    record = commands.add_parser("record", parents=[laws], help="write walks into a folder; those that are there stay")
    record.add_argument("--data", type=Path, required=True)
    record.add_argument("--shards", type=int, default=32, help="files of 8,192 ticks (default: 32)")
    record.add_argument("--seed", type=int, default=0)
    record.add_argument("--held-out", action="store_true", help="in worlds that are kept for evaluation")
    record.add_argument("--processes", type=int, default=1)
    record.set_defaults(run=_record)

    train = commands.add_parser("train", help="train on a folder of walks; goes on where it stopped")
    train.add_argument("--data", type=Path, required=True)
    train.add_argument("--held", type=Path, help="walks to measure on (default: the last shard)")
    train.add_argument("--out", type=Path, required=True)
    train.add_argument("--minutes", type=float, required=True)
    train.add_argument("--fresh", action="store_true", help="do not go on from the checkpoint")
    train.add_argument("--threads", type=int, default=1)
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", parents=[laws], help="print figures of closed loops as one JSON object")
    evaluate.add_argument("--model", type=Path, required=True, help="a folder that training wrote")
    evaluate.add_argument("--share", type=float, default=1.0, help="of the walks (default: 1)")
    evaluate.add_argument("--block", default="bricks", help="what walls are made of that are walked against")
    evaluate.set_defaults(run=_evaluate)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit code."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
