"""Figures of the lifter and the pose reader: `python -m reverie.demos.lifting --out FOLDER`, the folder of a queue."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints `lift_*` and `pose_*` of held-out worlds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m reverie.demos.lifting", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the model's data and training")
    parser.add_argument("--pairs", type=int, default=40)
    args = parser.parse_args(arguments)
    from reverie.demos.queue import load_facts
    from reverie.model.lift.network import LiftConfig, Lifter
    from reverie.model.lift.torch_lift import TorchLift
    from reverie.model.training.lift import ENTITY_TOKENS
    from reverie.model.training.trainer import load_ema
    from reverie.simulator.evaluation.lifting import lift_figures, make_pairs, pose_figures

    vocabulary, _ = load_facts(args.out)
    lifter = Lifter(LiftConfig(len(vocabulary) + ENTITY_TOKENS))
    load_ema(args.out / "lift", lifter)
    network = TorchLift(lifter)
    pairs = make_pairs(args.pairs)
    figures = {**lift_figures(pairs, network, vocabulary), **pose_figures(pairs, network)}
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
