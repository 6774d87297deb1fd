"""`reverie train finetune`: a shipped model learns from recordings of one's own, and rehearses what it knew.

The student goes on by the losses that made it (`reverie.model.training.phases`), on the recordings and, for a share of
what it sees, on the voxel world. What it ends with is a mean of the weights before and after, as much of the new as
serves both worlds best. Whole map seeds are held out, and both worlds are judged before and after.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from reverie.demos.train import machine
from reverie.model.config import ModelConfig
from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError
from reverie.model.training.blend import blend
from reverie.model.training.loop import LoopConfig, Processes, usual_loop
from reverie.model.training.phases import choose_device, last_record, train_phase
from reverie.model.training.shards import META, discard_others
from reverie.model.weights import load_config, model_folder
from reverie.simulator.clip_split import groups_of, held_out, recordings
from reverie.simulator.dream import DreamWorld
from reverie.simulator.errors import ClipError
from reverie.simulator.judge import metrics, truth
from reverie.simulator.judge.cache import model_version, recordings_version
from reverie.simulator.judge.dreaming import dream_runs, open_dreams
from reverie.simulator.judge.evaluate import HORIZONS, judge_played
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.judge.truth import TrueRun
from reverie.simulator.outputs import apart, writable_folder
from reverie.simulator.shards import ShardPlan, clips_to_shards, write_shards
from reverie.simulator.text import printable
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld

REHEARSAL_TIME = 0.15
"""Largest share of the time in which the voxel world is recorded for rehearsal."""
LEAST_ROWS = 512
"""Ticks of the smallest shard worth recording."""
TRAINING_TIME = 0.5
"""Least share of the time that is left for training, however long a slow machine took to record."""
FIGURES: tuple[str, ...] = (
    "psnr_1", "copy_psnr_1", "psnr_8", "copy_psnr_8", "psnr_32", "copy_psnr_32", "gain_1", "gain_8", "gain_32",
    "sharpness_32", "action_sensitivity", "clips",
)  # fmt: skip
BEFORE, REPORT, TABLE, TUNED, REPLAYED = "before.json", "report.json", "report.md", "tuned", "replay"
BLENDS: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
"""Shares of the new weights among which that is chosen that goes into the model."""
CHOOSING, ENOUGH = 0.1, 10
"""Share of the recordings, of so many at least, that are not learned from either: the share is chosen by them."""


def rows_in(folder: Path) -> int:
    """Ticks in all finished shards of a folder."""
    return sum(int(json.loads(meta.read_text("utf-8"))["rows"]) for meta in folder.glob(f"*/{META}"))


def rehearsal(
    source: str | None,
    out: Path,
    rows: int,
    config: ModelConfig,
    seed: int,
    seconds: float,
    plan: ShardPlan | None = None,
) -> Path:
    """A folder with about `rows` ticks to rehearse: shards of the voxel world recorded now, or links to those in
    `source`. Raises ModelError where it holds none.
    """
    if source is None:
        usual = ShardPlan(size=config.size)
        plan = plan or replace(usual, rows=min(usual.rows, max(rows, LEAST_ROWS)))
        count = max(1, round(rows / plan.rows))
        with tqdm(desc="recording", unit=" ticks", disable=None) as bar:
            write_shards(out, count, seed, plan, usable_cores(), seconds, bar.update)
        return out
    metas = _rehearsed(source)
    out.mkdir(parents=True, exist_ok=True)
    discard_others(out, lambda folder, meta: False)  # links, and recordings of an earlier run
    for link in out.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    for meta in metas:
        if rows_in(out) >= rows:
            break
        (out / meta.parent.name).symlink_to(meta.parent.resolve(), target_is_directory=True)
    return out


def _rehearsed(source: str) -> list[Path]:
    """The metas of the shards in a folder. Raises ModelError where it holds none."""
    metas = sorted(Path(source).glob(f"*/{META}"))
    if not metas:
        raise ModelError(f"{source}: holds no training shards to rehearse")
    return metas


def voxel_runs(count: int, context: int, size: tuple[int, int], first: int = 0) -> list[TrueRun]:
    """Runs of held-out voxel worlds, from number `first` on."""
    world = VoxelWorld(size)
    return [truth.played_run(world, HELD_OUT_SEED + first + index, context) for index in range(count)]


def judged(folder: Path, runs: dict[str, list[TrueRun]], out: Path) -> dict[str, dict[str, Any]]:
    """The figures of a model's dreams on each kind of runs; contact sheets go to `out`."""
    world = DreamWorld.load(str(folder), "torch")
    found = {}
    for kind, true in runs.items():
        (out / kind).mkdir(parents=True, exist_ok=True)
        with tqdm(desc=f"dreaming {kind}", unit=" frames", disable=None, leave=False) as bar:
            report = judge_played(world, true, out / kind, {}, [], bar.update)
        found[kind] = {name: report.get(name) for name in FIGURES}
    return found


def gain(folder: Path, runs: list[TrueRun]) -> float:
    """How many dB a model's dreams of `runs` are nearer to the truth than copies, a mean over windows and HORIZONS."""
    world = DreamWorld.load(str(folder), "torch")
    seen = dream_runs(world, open_dreams(world, runs, lambda _: None), runs, lambda _: None)
    true, first = np.stack([np.asarray(run.frames) for run in runs]), np.stack([run.first for run in runs])[:, None]
    ticks = [horizon - 1 for horizon in HORIZONS]
    return float((metrics.psnr(seen, true) - metrics.psnr(first, true))[:, ticks].mean())


def choose_blend(start: Path, tuned: Path, out: Path, runs: dict[str, list[TrueRun]], old: float) -> dict[str, float]:
    """Writes into `out` that mean of the students of `start` and `tuned` which dreams best of `runs`, in which voxel
    worlds count by the share `old`.

    Returns the new weights' share in it, and what all BLENDS and 0, the start, are worth in dB.
    """
    weights = {"clips": 1 - old, "voxel": old}
    worth = {}
    with tqdm(desc="blending", total=1 + len(BLENDS), disable=None, leave=False) as bar:
        for share in (0.0, *BLENDS):
            blend(start, tuned, share, out)
            gains = [weights[kind] * gain(out, true) for kind, true in runs.items()]
            worth[share] = sum(gains) / sum(weights[kind] for kind in runs)
            bar.update()
    best = max(BLENDS, key=lambda share: worth[share])
    blend(start, tuned, best, out)
    return {"share": best, **{f"worth_{share:g}": round(dB, 3) for share, dB in worth.items()}}


def finetune(
    model: str = "tiny",
    *,
    data: str,
    out: str,
    minutes: float,
    resume: bool = False,
    seed: int = 0,
    replay: str | None = None,
    replay_share: float = 0.25,
    held: float = 0.1,
    judged_windows: int = 16,
    rate: float = 0.15,
    rank: int = 0,
    keep_screen: bool = False,
    critic: bool = False,
    blended: float | None = None,
    loop: LoopConfig | None = None,
    export: bool = True,
) -> dict[str, Any]:
    """Trains `model` on the recordings in `data` for `minutes` (judging comes on top) and writes `out/model`.

    `replay_share` of what it sees is the voxel world, or the shards in `replay`. `held` is the share of map seeds that
    it is judged by and never sees. `rate` is the share of the learning rates that fresh weights are trained with. With
    a `rank` only low-rank adapters learn (`reverie.model.training.lora`), which are merged in the end. Where hand and
    hotbar are on the screen is found in the recordings, unless `keep_screen`: the model has known this game before.
    A `critic` of long dreams asks for sharper ones; it has to learn first and pays only in runs of an hour and more.
    The new weights' share in the model's is `blended`; without one it is chosen by dreams of voxel worlds and of
    recordings that the report is not about, nor learned from if there are ENOUGH. `out/tuned` has the new weights
    alone. `out/report.json` and `report.md` have the figures before and after. Under `torchrun` several processes
    train, the first does the rest, and the others return nothing. Raises ReverieError.
    """
    start, target = model_folder(model), Path(out)
    config = load_config(start)
    if not Path(data).is_dir():
        raise ModelError(f"data {data!r}: fine-tuning wants a folder of recordings")
    check_needs(start, target, export, rank, replay if replay_share else None)
    processes = Processes(choose_device())
    paths = recordings(Path(data))
    kept = held_out(paths, held)
    seen = [path for path in paths if path not in kept]
    asked = held_out(seen, CHOOSING) if blended is None and len(seen) >= ENOUGH else set()
    seen = [path for path in seen if path not in asked]
    if not seen:
        raise ClipError(f"{data}: holds no recording (NAME.mp4 and NAME.jsonl) to learn from")
    own, replayed = target / "data", target / REPLAYED
    runs: dict[str, list[TrueRun]] = {}
    before: dict[str, dict[str, Any]] = {}
    seconds = 60 * minutes
    if processes.leads:
        with tqdm(desc="reading clips", unit=" frames", disable=None) as bar:
            if not clips_to_shards(Path(data), own, config.size, set(seen), bar.update):
                raise ClipError(f"{data}: holds no recording that can be used")
        began = time.perf_counter()
        if replay_share:
            wanted = round(rows_in(own) * replay_share / (1 - replay_share))
            rehearsal(replay, replayed, wanted, config, seed, seconds * REHEARSAL_TIME)
        seconds = max(seconds - (time.perf_counter() - began), seconds * TRAINING_TIME)
        context = config.memory + config.past
        runs["voxel"] = voxel_runs(judged_windows, context, config.size)
        if kept:
            runs["clips"] = recorded_runs(data, judged_windows, seed, context, config.size, held)
        of = {
            "model": model_version(start), "recordings": recordings_version(data) if kept else None, "held": held,
            "seed": seed, "windows": judged_windows,
        }  # fmt: skip
        before = _remembered(target / BEFORE, resume, of, lambda: judged(start, runs, target / "before"))
    seconds = processes.agree(seconds)
    folders = [own, replayed] if replay_share else [own]
    slow = (loop or usual_loop(choose_device())).slowed(rate)
    folder = train_phase(
        "distill", folders, target, config, seconds, seed, resume, start, slow, taught=False,
        screens=[] if keep_screen else [own], rank=rank, critic=critic,
    )  # fmt: skip
    if not processes.leads:
        return {}
    tuned = target / TUNED
    shutil.copytree(folder, tuned, dirs_exist_ok=True)
    if blended is None:
        tried: dict[str, list[TrueRun]] = {}
        if replay_share:
            tried["voxel"] = voxel_runs(judged_windows, context, config.size, first=judged_windows)
        if replay_share < 1:
            tried["clips"] = recorded_runs(data, judged_windows, seed, context, config.size, only=asked or seen)
        share = choose_blend(start, tuned, folder, tried, replay_share)
    else:
        share = {"share": blended}
        blend(start, tuned, blended, folder)
    groups = groups_of(paths)

    def names(chosen: set[Path]) -> list[str]:
        return sorted({groups[path] for path in chosen})

    rows, rehearsed = rows_in(own), rows_in(replayed) if replay_share else 0
    after = judged(folder, runs, target / "after")
    report: dict[str, Any] = {
        "from": model, "model": str(folder), "rank": rank or None, "minutes": minutes, "machine": machine(),
        "clips": len(seen), "ticks": rows, "rehearsed_ticks": rehearsed,
        "rehearsed_share": round(rehearsed / (rows + rehearsed), 3), "blend": share,
        "held": names(kept), "chosen_by": names(asked), "before": before, "after": after,
        "change": _changes(before, after), "last": last_record(target / "distill"),
    }  # fmt: skip
    (target / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", "utf-8")
    (target / TABLE).write_text(printable(table(report)), "utf-8")
    if export:
        from reverie.model.onnx_export import export as run

        report |= run(str(folder), str(folder))
    return report


def check_needs(start: Path, target: Path, export: bool, rank: int, replay: str | None) -> None:
    """Raises ReverieError, before any work, where a package is missing, a result cannot be written or would replace the
    model that is started from, or there is nothing to rehearse."""
    if export:
        from reverie.model.onnx_export import require_packages

        require_packages()
    if rank:
        from reverie.model.training.lora import require_packages as require_adapters

        require_adapters()
    writable_folder(target)
    for name in ("data", REPLAYED, TUNED, "model", "distill"):
        writable_folder(target / name)
    apart([target / "model", target / TUNED], {start: "the model to start from"})
    if replay is not None:
        _rehearsed(replay)


def _remembered(path: Path, resume: bool, of: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before the run that is resumed if it was measured `of` the same (plain JSON), or is measured
    now."""
    if resume and path.is_file():
        try:
            known = json.loads(path.read_text("utf-8"))
        except ValueError:
            known = None
        if isinstance(known, dict) and known.get("of") == of:
            return known["figures"]
    found = measure()
    path.write_text(json.dumps({"of": of, "figures": found}, indent=1, allow_nan=False) + "\n", "utf-8")
    return found


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {
        kind: {
            name: round(after[kind][name] - value, 4)
            for name, value in figures.items()
            if name != "clips" and isinstance(value, float) and math.isfinite(value)
        }
        for kind, figures in before.items()
        if kind in after
    }


def table(report: dict[str, Any]) -> str:
    """The figures before and after as Markdown."""
    share = report["blend"]["share"]
    lines = [
        f"Fine-tuned from `{report['from']}` for {report['minutes']:g} minutes on {report['machine']}: "
        f"{report['ticks']} ticks of {report['clips']} recordings, {report['rehearsed_ticks']} ticks rehearsed. "
        f"A share of {share:g} of the weights is new, the rest those of `{report['from']}`.",
        f"Held out: {', '.join(report['held']) or 'nothing'}.",
    ]
    titles = {"clips": "held-out recordings", "voxel": "held-out voxel worlds"}
    for kind in (kind for kind in titles if kind in report["change"]):
        rows = _rows(report["change"][kind], report["before"][kind], report["after"][kind])
        lines += ["", f"| on {titles[kind]} | before | after | change |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _rows(change: dict[str, float], before: dict[str, Any], after: dict[str, Any]) -> Sequence[str]:
    return [f"| {name} | {before[name]:.2f} | {after[name]:.2f} | {gain:+.2f} |" for name, gain in change.items()]
