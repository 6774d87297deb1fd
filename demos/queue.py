"""Training of the second edition as one queue: `python -m reverie.demos.queue all|status|assemble --out FOLDER`.

The stages are data first, then facts, then each network; see `reverie.model.training.queue`. Dynamics have stages of
their own and stand alone: `all --out FOLDER --only walks-held,walks,dynamics --minutes 90` records 2 + 32 files of
8,192 ticks (about ten minutes of a core), trains for an hour, and leaves in FOLDER/dynamics what `Dynamics.load` takes
and `python -m reverie.demos.dynamics evaluate` measures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reverie.model.cores import give_way
from reverie.model.dream.model_folder import FRAME, LAND, LIFT
from reverie.model.errors import ReverieError
from reverie.model.training.queue import SLICE_MINUTES, Stage, run_queue, status

PRESETS = ("tiny",)
FACTS = "facts.json"
FACT_WORLDS = 60
"""Worlds of views that facts of tokens are found from."""
LANDS, LANDS_HELD = 400, 24
"""Worlds of cells that the world model learns from and is measured on."""
WALKS, WALKS_HELD = 32, 2
"""Shards of walks that dynamics learn from and are measured on."""
HELD_FROM = 1_100_000
TRAIN_FROM = 500_000


def load_facts(folder: Path):  # type: ignore[no-untyped-def]
    """(vocabulary, kinds of entity) as the stage `facts` wrote them."""
    from reverie.model.caster.gbuffer import EntityKind
    from reverie.model.cells import Vocabulary

    data = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    kinds = tuple(EntityKind(tuple(kind["low"]), tuple(kind["high"])) for kind in data["entities"])
    return Vocabulary.from_dict(data["vocabulary"]), kinds


def make_stages(
    folder: Path,
    worlds: int = 800,
    held: int = 24,
    views: int = 40,
    decay: float = 0.0,
    init: Path | None = None,
) -> list[Stage]:
    """All stages of a model in a folder; `decay` is `TrainerConfig.decay_share` of each slice of training.

    Parts without a checkpoint begin with the weights of the model in the folder `init`, if that is given.
    """
    data = folder / "data"

    def record(name: str, first: int, count: int, held_out: bool) -> dict[str, float]:
        from tqdm import tqdm

        from reverie.simulator.voxel.views import write_views

        with tqdm(total=count, desc=name, unit="world") as bar:
            seeds = range(first, first + count)
            written = write_views(
                data / name, seeds, views, held_out=held_out, progress=lambda done, _: bar.update(done - bar.n)
            )
        return {"written": float(written)}

    def facts() -> dict[str, float]:
        from reverie.model.training.facts import find_entities, find_solid, find_vocabulary
        from reverie.model.training.view_data import view_files

        files = view_files(data / "views")[:FACT_WORLDS]
        vocabulary, kinds = find_vocabulary(files, find_solid(files)), find_entities(files)
        content = {
            "vocabulary": vocabulary.to_dict(),
            "entities": [{"low": list(kind.low), "high": list(kind.high)} for kind in kinds],
        }
        (folder / FACTS).write_text(json.dumps(content, indent=1), encoding="utf-8")
        return {"see_through": float(sum(vocabulary.see_through)), "entities": float(len(kinds))}

    def begin(network: Any, part: str, weights: str) -> None:
        from reverie.model.export_networks import load_halves
        from reverie.model.training.trainer import CHECKPOINT

        if init is not None and not (folder / part / CHECKPOINT).is_file():
            load_halves(network, init / weights)

    def frames(minutes: float) -> dict[str, float]:
        from reverie.model.training.frames import FramePart
        from reverie.model.training.trainer import TrainerConfig, train_part

        part = FramePart(data / "views", data / "views-held", *load_facts(folder))
        begin(part.network, "frames", f"{FRAME}/{FRAME}.safetensors")
        return train_part(part, folder / "frames", minutes, TrainerConfig(ema=0.998, decay_share=decay))

    def lifter(minutes: float) -> dict[str, float]:
        from reverie.model.training.lift import LiftPart
        from reverie.model.training.trainer import TrainerConfig, train_part

        part = LiftPart(data / "views", data / "views-held")
        begin(part.network, "lift", f"{LIFT}/{LIFT}.safetensors")
        return train_part(part, folder / "lift", minutes, TrainerConfig(decay_share=decay))

    def lands(name: str, first: int, count: int) -> dict[str, float]:
        from reverie.simulator.voxel.lands import pack_lands

        pack_lands(data / name, first, count)
        return {"worlds": float(count)}

    def land(part: str) -> Callable[[float], dict[str, float]]:
        def run(minutes: float) -> dict[str, float]:
            from reverie.model.training.land import TRAIN

            weights = None if init is None or not (init / LAND / f"{part}.safetensors").is_file() else init / LAND
            TRAIN[part](data / "lands", folder / part, minutes, held_out=data / "lands-held", init=weights, decay=decay)
            return {}

        return run

    def walks(name: str, shards: int, held_out: bool) -> dict[str, float]:
        from tqdm import tqdm

        from reverie.simulator.voxel.walks import write_walks

        with tqdm(total=shards, desc=name, unit="shard") as bar:
            written = write_walks(
                data / name, range(shards), held_out=held_out, progress=lambda done, _: bar.update(done - bar.n)
            )
        return {"written": float(written)}

    def dynamics(minutes: float) -> dict[str, float]:
        from reverie.model.training.dynamics import train

        return train(data / "walks", folder / "dynamics", minutes, held_folder=data / "walks-held")

    return [
        Stage("views-held", 0.0, lambda _: record("views-held", HELD_FROM, held, True)),
        Stage("views", 0.0, lambda _: record("views", TRAIN_FROM, worlds, False)),
        Stage("facts", 0.0, lambda _: facts()),
        Stage("frames", 5.0, frames),
        Stage("lift", 7.0, lifter),
        Stage("walks-held", 0.0, lambda _: walks("walks-held", WALKS_HELD, True)),
        Stage("walks", 0.0, lambda _: walks("walks", WALKS, False)),
        Stage("dynamics", 1.0, dynamics),
        Stage("lands-held", 0.0, lambda _: lands("lands-held", HELD_FROM - 100_000, LANDS_HELD)),
        Stage("lands", 0.0, lambda _: lands("lands", 0, LANDS)),
        Stage("outline", 1.0, land("outline")),
        Stage("columns", 5.0, land("columns")),
        Stage("cells", 20.0, land("cells")),
    ]


def is_whole(folder: Path) -> bool:
    """Whether every network that a model cannot do without has been trained in a folder."""
    from reverie.model.training.trainer import CHECKPOINT

    needed = (f"frames/{CHECKPOINT}", f"lift/{CHECKPOINT}", "columns/ema.safetensors", "dynamics/dynamics.safetensors")
    return (folder / FACTS).is_file() and all((folder / name).is_file() for name in needed)


def finish(folder: Path) -> dict[str, Any]:
    """Makes `folder/model` of what was trained; says why not where an optional package is missing."""
    from reverie.model.training.assemble import assemble

    model = folder / "model"
    try:
        return {"model": str(model), "parts": assemble(folder, model, *load_facts(folder))}
    except (ImportError, ReverieError) as error:  # such as an accelerator's machine, which has what training needs
        return {"unfinished": str(error)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reverie.demos.queue", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("all", "status", "assemble"))
    parser.add_argument("--out", type=Path, required=True, help="the folder of the model's data and training")
    parser.add_argument("--minutes", type=float, default=60.0, help="for the whole queue (default: 60)")
    parser.add_argument("--only", help="names of stages, with commas between them (default: all)")
    parser.add_argument("--worlds", type=int, default=800, help="worlds of training views (default: 800)")
    parser.add_argument(
        "--model", type=Path, help="assemble: the folder of the model that is made (default: OUT/model)"
    )
    parser.add_argument("--background", action="store_true", help="give way to everything else on this machine")
    parser.add_argument("--init", type=Path, help="the folder of a model whose weights new parts begin with")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--decay", type=float, default=0.0,
        help="share of --minutes, at their end, in which the learning rate falls; the last run before a release wants "
        "about 0.3 (default: 0)",
    )  # fmt: skip
    args = parser.parse_args(arguments)
    try:
        stages = make_stages(args.out, args.worlds, decay=args.decay, init=args.init)
        if args.only:
            wanted = args.only.split(",")
            unknown = [name for name in wanted if name not in {stage.name for stage in stages}]
            if unknown:
                raise ReverieError(f"--only: there is no stage {unknown[0]!r}; {', '.join(s.name for s in stages)}")
            stages = [stage for stage in stages if stage.name in wanted]
        if args.command == "all":
            import torch

            torch.set_num_threads(args.threads)
            if args.background:
                give_way()
            run_queue(args.out, stages, args.minutes, args.minutes if args.decay else SLICE_MINUTES)
        if args.command == "assemble":
            from reverie.model.training.assemble import assemble

            print(json.dumps({"parts": assemble(args.out, args.model or args.out / "model", *load_facts(args.out))}))
            return 0
        print(json.dumps(status(args.out, stages)))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
