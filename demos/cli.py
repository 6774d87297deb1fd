"""The `reverie` command: options in, one thin handler per subcommand, heavy imports only inside the handlers."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from reverie.demos.options import (
    BenchOptions,
    ClipsOptions,
    CompareOptions,
    EvaluateOptions,
    ExportOptions,
    PageOptions,
    PlayOptions,
    RecordOptions,
    TrainOptions,
)
from reverie.model.cores import usable_cores
from reverie.model.errors import ReverieError
from reverie.model.startup import TORCH, require

SIZE_STEP = 16
"""Frame sides are multiples of this many pixels."""
MAX_SIDE = 4096
EXIT_REFUSED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
BACKENDS = ("auto", "onnx", "onnx-int8", "torch", "torch-bf16")
DEVICES = ("auto", "cpu", "cuda")
"""As in `reverie.model.weights`, which would import numpy."""
NEED_TRAINING = ("train", "evaluate", "compare", "export")
"""Commands that need the extra `train`, whatever their options are."""


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


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def seconds(text: str) -> float:
    """A finite number of seconds from 0 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to below 1")
    return value


def seed_list(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    parse = whole(0)
    return tuple(parse(part) for part in text.split(","))


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
    add_backend(parser)


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The options that say on what models run."""
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="what runs the model, and its precision")
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
    play.add_argument("--scene-tick", type=seed, metavar="N", help="start at this tick of the clip (default: its end)")
    play.add_argument("--seed", type=seed, help="which start, and which dream (default: any; headless: 0)")
    play.add_argument("--size", type=frame_size, help="WIDTHxHEIGHT of frames (default: 160x96, or as trained)")
    play.add_argument("--record", metavar="OUT.mp4", help="record from the first frame on")
    play.add_argument("--headless", action="store_true", help="no window: let a player run as fast as it goes")
    play.add_argument("--frames", type=count, help="end after this many frames (headless: 200)")
    play.add_argument(
        "--player", help="idle, random, explorer, builder, spinner, acrobat, fidget, stubborn (headless: explorer)"
    )
    play.add_argument("--actions", metavar="FILE.jsonl", help="play these actions, one JSON object a line")

    record = command("record", "Record scripted players in the voxel world as clips.")
    record.add_argument("--out", required=True, metavar="DIR", help="where the clips go")
    record.add_argument("--episodes", type=count, default=8, help="how many clips (default: 8)")
    record.add_argument("--ticks", type=count, default=600, help="frames in each, 20 a second (default: 600)")
    record.add_argument("--seed", type=seed, default=0, help="of the first world; below 1000000 (default: 0)")
    record.add_argument("--size", type=frame_size, default=(96, 160), help="WIDTHxHEIGHT (default: 160x96)")
    record.add_argument("--player", default="explorer", help="who plays (default: explorer)")
    record.add_argument("--no-hud", action="store_true", help="leave out crosshair, hand and hotbar")

    clips = command("clips", "Look through a folder of recordings.")
    clips.add_argument("what", choices=("check",), help="check: say what it holds, and what is broken")
    clips.add_argument("folder", metavar="DIR", help="recordings in VPT's layout, NAME.mp4 and NAME.jsonl")
    clips.add_argument("--out", metavar="DIR", help="where the contact sheet and the report go (default: nowhere)")

    train = command("train", "Train a model, whole or stage by stage, or fine-tune one on recordings.")
    train.add_argument(
        "phase",
        metavar="PHASE",
        help="all, one stage of it (such as lift), status, finetune, or readers: the evaluation's networks",
    )
    train.add_argument("--data", default="voxel", help="a folder of clips or shards, or 'voxel' (default)")
    train.add_argument(
        "--out", metavar="DIR", help="where checkpoints go (default: runs/tiny; finetune: runs/finetune)"
    )
    train.add_argument("--preset", default="tiny", help="(default: tiny)")
    train.add_argument("--minutes", type=minutes, default=60.0, help="time for this run (default: 60)")
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in DIR")
    train.add_argument("--seed", type=seed, default=0, help="(default: 0)")
    train.add_argument("--init", metavar="MODEL", help="start from this model's weights")
    train.add_argument(
        "--decay", type=share, default=0.0,
        help="share of --minutes, at their end, in which learning rates fall; about 0.3 before a release (default: 0)",
    )  # fmt: skip
    train.add_argument("--background", action="store_true", help="give way to everything else on this machine")
    train.add_argument("--model", metavar="MODEL", help="finetune: what to start from (default: tiny)")
    train.add_argument("--replay", metavar="DIR", help="finetune: views to rehearse (default: the voxel world)")
    train.add_argument("--replay-share", type=share, default=0.25, help="finetune: of all it sees (default: 0.25)")
    train.add_argument(
        "--keep-screen", action="store_true",
        help="finetune: the model knows this game, so hand and hotbar are where they were (default: found anew)",
    )  # fmt: skip
    train.add_argument(
        "--critic", action="store_true",
        help="finetune: a critic of long dreams, for runs of an hour and more: sharper, and fewer decibels",
    )  # fmt: skip
    train.add_argument(
        "--blend", type=share, metavar="SHARE",
        help="finetune: of the new weights in the model's, the rest being the old (default: what dreams best)",
    )  # fmt: skip
    train.add_argument("--held", type=share, default=0.1, help="finetune: map seeds kept for judging (default: 0.1)")
    train.add_argument(
        "--rate", type=share, help="finetune: of the usual learning rates (default: 0.05; first edition: 0.15)"
    )
    train.add_argument(
        "--low-rank", type=whole(0), default=0, metavar="R", help="finetune: train adapters of rank R alone"
    )
    train.add_argument("--judged", type=count, default=16, help="finetune: windows judged by (default: 16)")

    evaluate = command("evaluate", "Measure a model's dreams against held-out true worlds.")
    add_engine(evaluate)
    compare = command("compare", "Compare two models on the same clips; the exit code is 1 if a requirement fails.")
    compare.add_argument("first", metavar="A", help="a bundled model's name, or a folder")
    compare.add_argument("second", metavar="B", help="the model that may replace it")
    compare.add_argument("--require", choices=("better", "not-worse"), help="what B has to be")
    compare.add_argument("--keys", type=names, default=(), help="keys that decide, with commas (default: several)")
    add_backend(compare)
    evaluate.add_argument("--held", type=share, metavar="SHARE", help="only the map seeds that this share holds out")
    evaluate.add_argument("--seeds", type=seed_list, default=(), metavar="S,S,…", help="only clips of these map seeds")
    evaluate.add_argument("--size", type=frame_size, help="WIDTHxHEIGHT of frames (default: as trained)")
    evaluate.add_argument(
        "--teacher-ways", type=whole(0), default=0, metavar="N",
        help="of the longest dreams the teacher dreams so many, too (default: 0; each takes minutes)",
    )  # fmt: skip
    for judging in (evaluate, compare):
        judging.add_argument("--data", metavar="DIR", help="clips to judge by (default: held-out voxel worlds)")
        judging.add_argument("--clips", type=count, default=64, help="how many (default: 64)")
        judging.add_argument("--seed", type=seed, default=1_000_000, help="of the first world (default: 1000000)")
        judging.add_argument("--quick", action="store_true", help="fewer clips: an answer in three minutes")
        judging.add_argument("--fresh", action="store_true", help="measure again what is in the user's cache")
        judging.add_argument("--out", metavar="DIR", help="where pictures, pages and the report go")

    page = command("page", "Make the pages of a report: clips side by side, curves, tables, and a blind test.")
    page.add_argument("report", metavar="REPORT_DIR", help="a folder that `reverie evaluate` wrote")
    page.add_argument("--against", metavar="REPORT_DIR", help="another model's: the blind test asks which is better")
    page.add_argument("--seed", type=seed, default=0, help="of the blind test's order (default: 0)")

    bench = command("bench", "Measure a model's speed on this machine.")
    add_engine(bench)
    bench.add_argument("--settle", type=seconds, default=10.0, help="left alone between measurements (default: 10 s)")
    bench.add_argument("--long", type=minutes, metavar="MINUTES", help="also play so much dream, and look for growth")

    export = command("export", "Export a model to ONNX, in float32 and in eight bits.")
    export.add_argument("--model", required=True, metavar="DIR", help="a model's folder")
    export.add_argument("--out", required=True, metavar="DIR", help="where step.onnx and step.int8.onnx go")
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
        hud=not options.no_hud,
    )


def clips(options: ClipsOptions) -> Mapping[str, Any]:
    """Runs `reverie clips`. What is broken is named on standard error, too."""
    from reverie.simulator.clip_check import check

    report = check(options.folder, options.out)
    for entry in report["broken"]:
        print(f"broken: {entry['file']}: {entry['reason']}", file=sys.stderr)
    if options.json:
        return report
    return report | {"broken": len(report["broken"])}


def train(options: TrainOptions) -> Mapping[str, Any]:
    """Runs `reverie train`."""
    if options.data != "voxel" and not os.path.isdir(options.data):
        raise ReverieError(f"--data {options.data}: neither 'voxel' nor a folder of clips or shards")
    asked: dict[str, Any] = {} if options.rate is None else {"rate": options.rate}
    if options.phase == "finetune":
        from reverie.model.weights import has_world, model_folder

        model = options.model or options.init or "tiny"
        if has_world(model_folder(model)):
            return _finetune_frames(model, options, asked)
        from reverie.demos.finetune import finetune

        return finetune(
            model,
            data=options.data,
            out=options.out or "runs/finetune",
            minutes=options.minutes,
            resume=options.resume,
            seed=options.seed,
            replay=options.replay,
            replay_share=options.replay_share,
            held=options.held,
            judged_windows=options.judged,
            rank=options.low_rank,
            keep_screen=options.keep_screen,
            critic=options.critic,
            blended=options.blend,
            **asked,
        )
    from reverie.demos.train import train as run

    return run(
        options.phase,
        data=options.data,
        out=options.out or "runs/tiny",
        preset_name=options.preset,
        minutes=options.minutes,
        resume=options.resume,
        seed=options.seed,
        init=options.init,
        decay=options.decay,
        background=options.background,
    )


def _finetune_frames(model: str, options: TrainOptions, asked: dict[str, Any]) -> Mapping[str, Any]:
    """`reverie train finetune` of a model with a world behind the dream."""
    for name in ("low_rank", "critic", "keep_screen"):
        if getattr(options, name):
            raise ReverieError(
                f"--{name.replace('_', '-')}: {model} has a world behind its dreams, which learns without"
            )
    from reverie.demos.footage import finetune

    return finetune(
        model,
        data=options.data,
        out=options.out or "runs/finetune",
        minutes=options.minutes,
        resume=options.resume,
        seed=options.seed,
        replay=options.replay,
        replay_share=options.replay_share,
        held=options.held,
        judged_windows=options.judged,
        blended=options.blend,
        **asked,
    )


def evaluate(options: EvaluateOptions) -> Mapping[str, Any]:
    """Runs `reverie evaluate`, and makes its pages."""
    from reverie.model.weights import has_world, model_folder

    if has_world(model_folder(options.model)):
        return _evaluate_world(options)
    from reverie.demos.pages.write import write_pages
    from reverie.simulator.judge.evaluate import evaluate as run

    report = run(
        options.model,
        data=options.data,
        clips=options.clips,
        seed=options.seed,
        quick=options.quick,
        held=options.held,
        map_seeds=options.seeds,
        size=options.size,
        out=options.out,
        backend=options.backend,
        device=options.device,
        teacher_ways=options.teacher_ways,
        fresh=options.fresh,
    )
    return {**report, **write_pages(report["out"])}


def _evaluate_world(options: EvaluateOptions) -> Mapping[str, Any]:
    """`reverie evaluate` of a model with a world behind the dream."""
    from reverie.demos.evaluate import table

    report = _measure_world(options)
    if options.json:
        return report
    print(table(report))
    return {name: report[name] for name in ("runs_done", "runs_planned")}


def _measure_world(options: EvaluateOptions, keys: Sequence[str] = ()) -> Mapping[str, Any]:
    """The report of `reverie.simulator.evaluation` on a model; only of figures that begin like `keys`, if given."""
    from reverie.demos.evaluate import measure, parse
    from reverie.simulator.outputs import writable_folder

    usual = EvaluateOptions()
    for name in ("data", "clips", "seed", "teacher_ways", "held", "seeds"):
        if getattr(options, name) != getattr(usual, name):
            raise ReverieError(f"--{name.replace('_', '-')}: {options.model} is measured on held-out voxel worlds")
    arguments = ["--world", options.model, "--backend", options.backend, "--device", options.device]
    arguments += ["--quick"] * options.quick + (["--out", options.out] if options.out else [])
    arguments += ["--jobs", str(1 if options.quick else usable_cores())]
    if options.size is not None:
        arguments += ["--size", f"{options.size[1]}x{options.size[0]}"]
    if options.out is not None:
        writable_folder(options.out)
    return measure(parse([*arguments, "--keys", *keys]))


def compare(options: CompareOptions) -> Mapping[str, Any]:
    """Runs `reverie compare`, and makes the blind test between the two."""
    from reverie.model.weights import has_world, model_folder

    worlds = [has_world(model_folder(name)) for name in (options.first, options.second)]
    if all(worlds):
        return _compare_worlds(options)
    if any(worlds):
        raise ReverieError(f"{options.first} and {options.second}: only one has a world behind its dreams")
    from reverie.demos.pages.write import write_comparison
    from reverie.simulator.judge.compare import compare as run
    from reverie.simulator.judge.compare import lines

    result = run(
        options.first,
        options.second,
        keys=options.keys,
        require=options.require,
        data=options.data,
        clips=options.clips,
        seed=options.seed,
        quick=options.quick,
        fresh=options.fresh,
        out=options.out,
        backend=options.backend,
        device=options.device,
    )
    result |= write_comparison(result["out"])
    if options.json:
        return result
    print("\n".join(lines(result)))
    return {name: value for name, value in result.items() if name != "keys"}


def _compare_worlds(options: CompareOptions) -> Mapping[str, Any]:
    """`reverie compare` of models with a world behind the dream."""
    from reverie.simulator.evaluation.compare import DECIDING, differences, meets

    differences({}, {}, options.keys)  # unknown names are refused first
    out = options.out or "runs/comparison"
    reports = []
    for number, name in enumerate((options.first, options.second), 1):
        own = EvaluateOptions(
            name, options.data, options.clips, options.seed, options.quick, out=os.path.join(out, str(number)),
            backend=options.backend, device=options.device,
        )  # fmt: skip
        reports.append(_measure_world(own, options.keys or DECIDING))
    found = differences(reports[0], reports[1], options.keys or DECIDING)
    for one in found if not options.json else ():
        print(f"{one.name:24}{one.first:10.3g}{one.second:10.3g}  {one.verdict} ({one.better:+.3g} ± {one.spread:.2g})")
    result: dict[str, Any] = {"out": out, "keys": {one.name: one.verdict for one in found}}
    if options.require is not None:
        result["accepted"] = meets(found, options.require)
    return result


def page(options: PageOptions) -> Mapping[str, Any]:
    """Runs `reverie page`."""
    from reverie.simulator.outputs import writable_folder

    writable_folder(options.report)
    from reverie.demos.pages.write import write_pages

    return write_pages(options.report, options.against, options.seed)


def bench(options: BenchOptions) -> Mapping[str, Any]:
    """Runs `reverie bench`."""
    from reverie.demos.bench import bench as run

    return run(
        options.model,
        backend=options.backend,
        device=options.device,
        settle_seconds=options.settle,
        long=options.long,
    )


def export(options: ExportOptions) -> Mapping[str, Any]:
    """Runs `reverie export`."""
    from reverie.model.weights import has_world, model_folder
    from reverie.simulator.outputs import writable_file, writable_folder

    if has_world(folder := model_folder(options.model)):
        writable_folder(options.out)
        from reverie.model.training.assemble import export_again

        return {"out": options.out, "parts": export_again(folder, Path(options.out))}
    for name in ("step.onnx", "step.int8.onnx"):
        writable_file(os.path.join(options.out, name))
    from reverie.model.onnx_export import export as run

    return run(options.model, options.out)


HANDLERS: dict[str, tuple[type, Callable[[Any], Mapping[str, Any]]]] = {
    "play": (PlayOptions, play),
    "record": (RecordOptions, record),
    "clips": (ClipsOptions, clips),
    "train": (TrainOptions, train),
    "evaluate": (EvaluateOptions, evaluate),
    "compare": (CompareOptions, compare),
    "page": (PageOptions, page),
    "bench": (BenchOptions, bench),
    "export": (ExportOptions, export),
}


def require_extras(command: str, options: Any) -> None:
    """Looks whether what a command will import is installed, before it does any work. Raises MissingExtra."""
    if command in NEED_TRAINING:
        exports = command == "export" or getattr(options, "phase", "") == "finetune"
        require("train", command, None if exports else TORCH)
    if getattr(options, "low_rank", 0):
        require("lora", f"{command} --low-rank")
    if getattr(options, "backend", "auto").startswith("torch"):
        require("train", f"--backend {options.backend}", TORCH)


def run(arguments: Sequence[str] | None) -> int:
    """Parses, runs, and prints the result: one `name: value` line each, or one line of JSON. Raises ReverieError.

    Returns 0, or 1 where the result was not `accepted`.
    """
    namespace = build_parser().parse_args(arguments)
    kind, handler = HANDLERS[namespace.command]
    options = kind(**{field.name: getattr(namespace, field.name) for field in fields(kind)})
    require_extras(namespace.command, options)
    result = handler(options)
    if options.json:
        print(json.dumps(result, allow_nan=False), flush=True)
    else:
        for name, value in result.items():
            if value is not None:
                print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    return EXIT_REFUSED if result.get("accepted") is False else 0


def escape_output() -> None:
    """Has what a terminal's encoding lacks, and what is no text (names of files may be any bytes), printed escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(error: Exception) -> int:
    """Prints an error as one line on standard error."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"reverie: {text}", file=sys.stderr, flush=True)
    return EXIT_ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point. Returns the exit code: 0, 1 for a refusal, 2 for what the user can mend, 130 after Ctrl-C."""
    escape_output()
    try:
        return run(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return EXIT_ERROR
    except (ReverieError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
