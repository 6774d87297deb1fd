"""The `reverie` command: options in, one thin handler per subcommand, heavy imports only inside the handlers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NoReturn

from reverie.demos.options import (
    BenchOptions,
    EvaluateOptions,
    ExportOptions,
    PlayOptions,
    RecordOptions,
    TrainOptions,
)
from reverie.model.errors import ReverieError

SIZE_STEP = 16
"""Frame sides are multiples of this many pixels."""
MAX_SIDE = 4096
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
BACKENDS = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda")


class UsageError(ReverieError):
    """A command line that asks for something that does not exist."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are errors like all others: one line, no usage dump."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message)


def whole(lowest: int) -> Callable[[str], int]:
    """A parser of whole numbers from `lowest` up."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {lowest} or more")
        return value

    return parse


def minutes(text: str) -> float:
    """A positive, finite number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of minutes")
    return value


def frame_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels -> (height, width)."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 160x96")
    width, height = (int(side) for side in sides)
    if not all(SIZE_STEP <= side <= MAX_SIDE and side % SIZE_STEP == 0 for side in (width, height)):
        raise argparse.ArgumentTypeError(
            f"{text!r}: width and height must be multiples of {SIZE_STEP} from {SIZE_STEP} to {MAX_SIDE}"
        )
    return height, width


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The options that say which model runs, and on what."""
    parser.add_argument("--model", default="tiny", help="a bundled model's name, or a folder (default: tiny)")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the model (default: auto)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where it runs (default: auto)")


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(prog="reverie", description="A neural world to play in, edit, and train agents in.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
        return sub

    seed = whole(0)
    count = whole(1)

    play = command("play", "Walk about in a dream, or in the voxel world that it was learned from.")
    add_engine(play)
    play.add_argument("--world", choices=("dream", "voxel"), default="dream", help="(default: dream)")
    play.add_argument("--scene", help="where to start: a name, an image, or a clip (.mp4)")
    play.add_argument("--seed", type=seed, help="which start, and which dream (default: any; headless: 0)")
    play.add_argument("--size", type=frame_size, help="WIDTHxHEIGHT of the voxel world's frames (default: 160x96)")
    play.add_argument("--record", metavar="OUT.mp4", help="record from the first frame on")
    play.add_argument("--headless", action="store_true", help="no window: let a player run as fast as it goes")
    play.add_argument("--frames", type=count, help="end after this many frames (headless: 200)")
    play.add_argument("--player", help="idle, random, explorer, builder or spinner (headless: explorer)")
    play.add_argument("--actions", metavar="FILE.jsonl", help="play these actions, one JSON object a line")

    record = command("record", "Record scripted players in the voxel world as clips.")
    record.add_argument("--out", required=True, metavar="DIR", help="where the clips go")
    record.add_argument("--episodes", type=count, default=8, help="how many clips (default: 8)")
    record.add_argument("--ticks", type=count, default=600, help="frames in each, 20 a second (default: 600)")
    record.add_argument("--seed", type=seed, default=0, help="of the first world; below 1000000 (default: 0)")
    record.add_argument("--size", type=frame_size, default=(96, 160), help="WIDTHxHEIGHT (default: 160x96)")
    record.add_argument("--player", default="explorer", help="who plays (default: explorer)")

    train = command("train", "Train a model, whole or phase by phase.")
    train.add_argument(
        "phase",
        metavar="PHASE",
        help="all, one phase of the preset (dynamics, distill), or readers: the judge's networks",
    )
    train.add_argument("--data", default="voxel", help="a folder of clips or shards, or 'voxel' (default)")
    train.add_argument("--out", default="runs/tiny", metavar="DIR", help="where checkpoints go (default: runs/tiny)")
    train.add_argument("--preset", default="tiny", help="(default: tiny)")
    train.add_argument("--minutes", type=minutes, default=60.0, help="time for this run (default: 60)")
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in DIR")
    train.add_argument("--seed", type=seed, default=0, help="(default: 0)")
    train.add_argument("--init", metavar="MODEL", help="start from this model's weights")

    evaluate = command("evaluate", "Measure a model's dreams against held-out true worlds.")
    add_engine(evaluate)
    evaluate.add_argument("--data", metavar="DIR", help="clips to judge by (default: held-out voxel worlds)")
    evaluate.add_argument("--clips", type=count, default=64, help="how many (default: 64)")
    evaluate.add_argument("--seed", type=seed, default=1_000_000, help="of the first world (default: 1000000)")
    evaluate.add_argument("--quick", action="store_true", help="fewer clips: an answer in three minutes")
    evaluate.add_argument("--out", metavar="DIR", help="where pictures and the report go")

    bench = command("bench", "Measure a model's speed on this machine.")
    add_engine(bench)

    export = command("export", "Export a model to ONNX.")
    export.add_argument("--model", required=True, metavar="DIR", help="a model's folder")
    export.add_argument("--out", required=True, metavar="DIR", help="where step.onnx goes")
    return parser


def play(options: PlayOptions) -> Mapping[str, Any]:
    """Runs `reverie play`."""
    from reverie.demos.play import play as run

    return run(options)


def record(options: RecordOptions) -> Mapping[str, Any]:
    """Runs `reverie record`."""
    from reverie.simulator.record import record as run

    return run(
        options.out,
        episodes=options.episodes,
        ticks=options.ticks,
        seed=options.seed,
        size=options.size,
        player=options.player,
    )


def train(options: TrainOptions) -> Mapping[str, Any]:
    """Runs `reverie train`."""
    from reverie.demos.train import train as run

    return run(
        options.phase,
        data=options.data,
        out=options.out,
        preset_name=options.preset,
        minutes=options.minutes,
        resume=options.resume,
        seed=options.seed,
        init=options.init,
    )


def evaluate(options: EvaluateOptions) -> Mapping[str, Any]:
    """Runs `reverie evaluate`."""
    from reverie.simulator.judge.evaluate import evaluate as run

    return run(
        options.model,
        data=options.data,
        clips=options.clips,
        seed=options.seed,
        quick=options.quick,
        out=options.out,
        backend=options.backend,
        device=options.device,
    )


def bench(options: BenchOptions) -> Mapping[str, Any]:
    """Runs `reverie bench`."""
    from reverie.demos.bench import bench as run

    return run(options.model, backend=options.backend, device=options.device)


def export(options: ExportOptions) -> Mapping[str, Any]:
    """Runs `reverie export`."""
    from reverie.model.onnx_export import export as run

    return run(options.model, options.out)


HANDLERS: dict[str, tuple[type, Callable[[Any], Mapping[str, Any]]]] = {
    "play": (PlayOptions, play),
    "record": (RecordOptions, record),
    "train": (TrainOptions, train),
    "evaluate": (EvaluateOptions, evaluate),
    "bench": (BenchOptions, bench),
    "export": (ExportOptions, export),
}


def run(arguments: Sequence[str] | None) -> None:
    """Parses, runs, and prints the result: one `name: value` line each, or one line of JSON. Raises ReverieError."""
    namespace = build_parser().parse_args(arguments)
    kind, handler = HANDLERS[namespace.command]
    options = kind(**{field.name: getattr(namespace, field.name) for field in fields(kind)})
    result = handler(options)
    if options.json:
        print(json.dumps(result, allow_nan=False), flush=True)
        return
    for name, value in result.items():
        if value is not None:
            print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


def complain(error: Exception) -> int:
    """Prints an error as one line on standard error."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"reverie: {text}", file=sys.stderr, flush=True)
    return EXIT_ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C."""
    try:
        run(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return EXIT_ERROR
    except (ReverieError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
