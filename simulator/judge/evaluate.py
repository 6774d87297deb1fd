"""`reverie evaluate`: a model's dreams against the truth, in numbers and pictures.

Each figure is a mean over clips; NAME_ci is its 95 % bootstrap interval. Figures of the truth itself, of the many-step
teacher and of copying the last frame stand beside those of the dream (see `keys`); values.json holds what each clip
contributed, for `compare`. Everything but `seconds` repeats exactly, so reports are kept (see `cache`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reverie.model.config import ModelConfig
from reverie.model.cores import usable_cores
from reverie.model.errors import ModelError, ReverieError
from reverie.model.weights import TEACHER, load_model, model_folder
from reverie.simulator.dream import DreamWorld
from reverie.simulator.judge import cache, metrics, truth
from reverie.simulator.judge.dreaming import Dreamer, Rested, Tell, dream, dream_runs, open_dreams
from reverie.simulator.judge.figures import OF_CLIPS, figure, ratio, rounded
from reverie.simulator.judge.figures import bar as progress_bar
from reverie.simulator.judge.film import FILMS, SIDES, Film, shoot
from reverie.simulator.judge.frechet import judge_far_teacher, judge_frechet, recorded_ways, voxel_ways
from reverie.simulator.judge.probes import PROBES, ProbeRun, probe_run
from reverie.simulator.judge.reading import judge_actions
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.judge.sheet import Strip, action_caption, write_sheet
from reverie.simulator.judge.tasks import judge_tasks
from reverie.simulator.judge.truth import EditRun, TrueRun
from reverie.simulator.outputs import writable_folder
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelWorld
from reverie.simulator.world import TICKS_PER_SECOND

HORIZONS = (1, 8, 32)
"""Ticks into the dream at which it is compared."""
CONTEXT = 24
"""Frames before tick 0: enough for any model of ours, so that all are asked about the same clips."""
SHEET_EVERY, SHEET_CLIPS = 4, 8
PROBE_SHEET_FRAMES = 8
FILM_CLIPS = 12
VOXEL_CLIPS = "held-out voxel worlds"
"""What a report says of its clips where they are no recordings."""
VALUES, CURVES = "values.json", "curves.json"
SHEETS = ("sheet.png", "edits.png", "probes.png")
MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many clips each part looks at."""

    clips: int
    idle: int
    revisit: int
    edit: int
    teacher: int
    probe: int = 0


def amounts(clips: int, quick: bool) -> Amounts:
    """At most `clips` each, fewer where clips are long or steps slow; `quick` is for three minutes on two cores."""
    most = Amounts(12, 4, 2, 12, 2, 2) if quick else Amounts(clips, 32, 24, clips, 16, 8)
    return Amounts(*(min(clips, getattr(most, name)) for name in Amounts.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """All that dreams are compared with."""

    played: list[TrueRun]
    idle: list[TrueRun]
    revisits: dict[int, list[TrueRun]]
    """By seconds of looking elsewhere."""
    edits: list[EditRun]
    probes: dict[str, list[ProbeRun]] = field(default_factory=dict)
    """By name."""


def context_of(config: ModelConfig) -> int:
    """Frames before tick 0 that a model is shown, or more."""
    return max(CONTEXT, config.memory + config.past)


def evaluate(
    model: str = "tiny",
    *,
    data: str | None = None,
    clips: int = 64,
    seed: int = HELD_OUT_SEED,
    quick: bool = False,
    held: float | None = None,
    map_seeds: Sequence[int] = (),
    out: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    size: tuple[int, int] | None = None,
    context: int | None = None,
    teacher_ways: int = 0,
    fresh: bool = False,
) -> dict[str, Any]:
    """Judges a model on `clips` held-out worlds from `seed` up, or on the recordings in folder `data`: on all of them,
    on those that `held_out` keeps from training (a share of `held`), or on those of some map seeds.

    Writes report.json, values.json, curves.json, contact sheets and films to `out` (runs/evaluate-MODEL); what was
    computed before is only copied there, unless `fresh`. `size` is the (height, width) of frames, as trained unless
    told otherwise; what readers say is null where they do not read frames of it. `context` is how many frames clips
    have before tick 0 (`context_of`); `teacher_ways` how many of the longest dreams the teacher dreams, too. Raises
    ReverieError.
    """
    if data is None and seed < HELD_OUT_SEED:
        raise ReverieError(f"seed {seed}: models are trained on worlds below {HELD_OUT_SEED}; choose one from there up")
    began = time.perf_counter()
    folder = Path(out) if out is not None else Path("runs") / f"evaluate-{Path(model).resolve().name}"
    writable_folder(folder)
    if data is not None and not Path(data).is_dir():
        raise ReverieError(f"{data}: is no folder of recordings")
    world = DreamWorld.load(model, backend, device, size)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReverieError(f"{folder}: cannot be made ({error.strerror})") from error
    many = amounts(clips, quick)
    context = context or context_of(world.config)
    settings = {
        "code": cache.code_version(),
        "libraries": cache.library_versions(),
        "weights": cache.model_version(model_folder(model)),
        "readers": cache.readers_version(),
        "recordings": cache.recordings_version(data) if data else None,
        "held": held,
        "map_seeds": list(map_seeds),
        "backend": world.backend_name,
        "size": world.size,
        "context": context,
        "seed": seed,
        "amounts": [getattr(many, name) for name in Amounts.__slots__],
        "teacher_ways": teacher_ways,
    }
    kept = cache.entry(settings)
    if not fresh:
        remembered = cache.recall(kept, folder)
        if remembered is not None:
            return remembered | {"model": model, "out": str(folder), "cached": True}
    true = (
        recorded_truth(data, many, seed, context, world.size, held, map_seeds)
        if data
        else voxel_truth(many, seed, context, world.size)
    )
    report, curves = judge(world, true, folder)
    ways: list[TrueRun] = []
    if legible(world) and not quick:  # for quick ones long dreams take too long
        if data is None:
            ways = voxel_ways(world.size, context, seed)
        else:
            known = partial(recorded_runs, data, seed=seed, context=context, size=world.size)
            ways = recorded_ways(partial(known, held=held, map_seeds=map_seeds))
    report |= judge_frechet(world, ways, true.played)
    if data is None and legible(world):
        report |= judge_tasks(world, context, seed, quick)
    teacher = open_teacher(model, device, size)
    if teacher is not None:
        report |= judge_teacher(teacher, true.played[: many.teacher], curves)
        if ways and teacher_ways:
            report |= judge_far_teacher(teacher, world, ways, true.played, teacher_ways)
    report, values = without_values(report)
    report |= {
        "model": model,
        "fingerprint": world.describe()["fingerprint"],
        "backend": world.backend_name,
        "steps": world.steps,
        "data": data or VOXEL_CLIPS,
        "seeds": [seed, seed + len(true.played) - 1],
        "held": held,
        "map_seeds": list(map_seeds),
        "quick": quick,
        "out": str(folder),
        "seconds": round(time.perf_counter() - began, 1),
        "cache": str(kept),
        "cached": False,
    }
    _write_json(folder / CURVES, curves)
    _write_json(folder / VALUES, values)
    _write_json(folder / cache.REPORT, report)
    made = [cache.REPORT, VALUES, CURVES, FILMS, *SHEETS]
    made += [film[side] for film in json.loads((folder / FILMS).read_text("utf-8"))["films"] for side in SIDES]
    cache.remember(kept, folder, [folder / name for name in made if (folder / name).is_file()])
    return report


def legible(world: Dreamer) -> bool:
    """Whether the readers read frames of this shape; they bring it to their size."""
    from reverie.model.motion import SIZE

    return world.size[0] * SIZE[1] == world.size[1] * SIZE[0]


def without_values(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of a report that is being made, and the values of its clips by key."""
    values = {name.removesuffix(OF_CLIPS): value for name, value in report.items() if name.endswith(OF_CLIPS)}
    return {name: value for name, value in report.items() if not name.endswith(OF_CLIPS)}, values


def voxel_truth(many: Amounts, seed: int, context: int, size: tuple[int, int], states: bool = False) -> Truth:
    """True runs of the worlds from `seed` up, each with `context` frames before tick 0, and their `states` if wanted.

    Worlds are played in threads: the compiled parts of the voxel world run without the interpreter's lock.
    """
    true = Truth([], [], {seconds: [] for seconds in truth.REVISIT_SECONDS}, [], {name: [] for name in PROBES})
    worlds = max(many.clips, many.idle, many.revisit, many.edit, many.probe)

    def play(index: int) -> Truth:
        part = Truth([], [], {seconds: [] for seconds in truth.REVISIT_SECONDS}, [], {name: [] for name in PROBES})
        world = VoxelWorld(size)
        if index < many.clips:
            part.played.append(truth.played_run(world, seed + index, context))
        if index < max(many.idle, many.revisit, many.edit):
            _add_probes(part, world, seed + index, index, many, context)
        if index < many.probe:
            for name, runs in part.probes.items():
                runs.append(probe_run(world, name, seed + index, context))
        return part if states else _light(part)

    threads = max(1, min(usable_cores(), MOST_THREADS, worlds))
    with ThreadPoolExecutor(threads) as pool, progress_bar("true worlds", worlds, "world") as bar:
        for part in pool.map(play, range(worlds)):
            true.played.extend(part.played)
            true.idle.extend(part.idle)
            true.edits.extend(part.edits)
            for seconds, runs in part.revisits.items():
                true.revisits[seconds].extend(runs)
            for name, scenes in part.probes.items():
                true.probes[name].extend(scenes)
            bar.update()
    return true


def _light(part: Truth) -> Truth:
    """Without states, which hold whole worlds."""

    def bare(runs: Iterable[TrueRun]) -> list[TrueRun]:
        return [replace(run, state=None) for run in runs]

    return Truth(
        bare(part.played),
        bare(part.idle),
        {seconds: bare(runs) for seconds, runs in part.revisits.items()},
        [
            replace(edit, edited=replace(edit.edited, state=None), start=replace(edit.start, state=None))
            for edit in part.edits
        ],
        {
            name: [replace(probe, run=replace(probe.run, state=None)) for probe in scenes]
            for name, scenes in part.probes.items()
        },
    )


def _add_probes(true: Truth, world: VoxelWorld, seed: int, index: int, many: Amounts, context: int) -> None:
    """World number `index` joins those probes that still want one."""
    start, state = truth.still_start(world, seed, context)
    if index < many.idle:
        true.idle.append(truth.watched(world, state, _idle_plan(start)))
    if index < many.revisit:
        for seconds, runs in true.revisits.items():
            runs.append(truth.watched(world, state, _revisit_plan(start, seconds)))
    if index < many.edit:
        edit = truth.edit_run(world, start, state)
        if edit is not None:
            true.edits.append(edit)


def recorded_truth(
    folder: str,
    many: Amounts,
    seed: int,
    context: int,
    size: tuple[int, int],
    held: float | None = None,
    map_seeds: Sequence[int] = (),
) -> Truth:
    """True runs from recordings. What would have happened without the player's keys, or after an edit, nobody knows."""
    played = recorded_runs(folder, many.clips, seed, context, size, held, map_seeds)
    return Truth(
        played,
        [_idle_plan(run) for run in played[: many.idle]],
        {s: [_revisit_plan(run, s) for run in played[: many.revisit]] for s in truth.REVISIT_SECONDS},
        [],
    )


def _idle_plan(start: TrueRun) -> TrueRun:
    script = truth.idle_script()
    return truth.scripted(start, script, range(TICKS_PER_SECOND, len(script) + 1, TICKS_PER_SECOND))


def _revisit_plan(start: TrueRun, seconds: int) -> TrueRun:
    """Keeps the last frame of looking elsewhere, and the one after turning back."""
    script = truth.revisit_script(seconds)
    return truth.scripted(start, script, (len(script) - truth.TURN_TICKS, len(script)))


def judge(world: Dreamer, true: Truth, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """All figures of one dreamer, and the curves behind them; contact sheets go to `folder`."""
    report: dict[str, Any] = {"tokenizer_psnr": None, "tokenizer_ssim": None}
    curves: dict[str, Any] = {}
    played = true.played
    probes = (
        true.idle, *true.revisits.values(), [edit.edited for edit in true.edits],
        *([probe.run for probe in scenes] for scenes in true.probes.values()),
    )  # fmt: skip
    frames = sum(len(run.start) + 2 * len(run.actions) for run in played)
    frames += sum(len(run.start) + len(run.actions) for runs in probes for run in runs)
    films: list[Film] = []
    world = Rested(world)
    with progress_bar("dreaming", frames, "frame") as bar:
        report |= judge_played(world, played, folder, curves, films, bar.update)
        report |= judge_idle(world, true.idle, curves, bar.update)
        report |= judge_revisits(world, true.revisits, bar.update)
        report |= judge_edits(world, true.edits, folder, bar.update)
        report |= judge_probes(world, true.probes, folder, films, bar.update)
    _write_json(folder / FILMS, {"films": [film.to_dict() for film in films]})
    return report, curves


def judge_played(
    world: Dreamer, runs: list[TrueRun], folder: Path, curves: dict[str, Any], films: list[Film], tell: Tell
) -> dict[str, Any]:
    """True start, true actions: how far from the true frames is the dream, and a copy of the last true frame?"""
    states = open_dreams(world, runs, tell)
    seen = dream_runs(world, states, runs, tell)
    true = _true_frames(runs)
    first = np.stack([run.first for run in runs])[:, None]
    moving = np.stack([run.moving for run in runs])
    scores, copies, likeness = metrics.psnr(seen, true), metrics.psnr(first, true), metrics.ssim(seen, true)
    columns = [horizon - 1 for horizon in HORIZONS]
    copied_likeness = metrics.ssim(first, true[:, columns])
    report: dict[str, Any] = {"clips": len(runs)}
    for index, horizon in enumerate(HORIZONS):
        tick = horizon - 1
        report |= figure(f"psnr_{horizon}", scores[:, tick])
        report |= figure(f"copy_psnr_{horizon}", copies[:, tick])
        report |= figure(f"true_psnr_{horizon}", metrics.psnr(true[:, tick], true[:, tick]))
        report |= figure(f"gain_{horizon}", scores[:, tick] - copies[:, tick])
        report |= figure(f"ssim_{horizon}", likeness[:, tick])
        report |= figure(f"copy_ssim_{horizon}", copied_likeness[:, index])
        chosen = moving[:, tick]
        report |= figure(f"psnr_{horizon}_moving", scores[chosen, tick])
        report |= figure(f"copy_psnr_{horizon}_moving", copies[chosen, tick])
        report |= figure(f"gain_{horizon}_moving", scores[chosen, tick] - copies[chosen, tick])
        report[f"clips_{horizon}_moving"] = int(chosen.sum())
    detail = metrics.laplacian_energy(true[:, -1])
    for prefix, frames in (("", seen[:, -1]), ("copy_", first[:, 0]), ("true_", true[:, -1])):
        energies = np.stack([metrics.laplacian_energy(frames), detail], axis=1)
        report |= ratio(f"{prefix}sharpness_{HORIZONS[-1]}", energies)
    report |= judge_actions(seen, true, runs) if legible(world) else dict.fromkeys(("action_f1", "camera_deg"))
    report |= judge_sensitivity(world, states, runs, scores, curves, tell)
    curves |= {
        "ticks": list(runs[0].ticks),
        "psnr": rounded(scores.mean(axis=0)),
        "copy_psnr": rounded(copies.mean(axis=0)),
        "ssim": rounded(likeness.mean(axis=0)),
        "labels": [run.label for run in runs],
        "psnr_of_clips": rounded(scores),
        "copy_psnr_of_clips": rounded(copies),
    }
    _write_contact_sheet(folder / "sheet.png", runs, true, seen)
    films += [
        shoot(
            folder,
            "played",
            f"{i:02d}",
            run.label,
            run.first,
            true[i],
            seen[i],
            _captions(run, range(1, len(true[i]) + 1)),
        )
        for i, run in enumerate(runs[:FILM_CLIPS])
    ]
    return report


def judge_sensitivity(
    world: Dreamer, states: list[Any], runs: list[TrueRun], scores: np.ndarray, curves: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    """What is lost, over all ticks, when each dream is given the actions of another clip."""
    if len(runs) < 2:
        return {"action_sensitivity": None, "action_sensitivity_ci": None}
    actions = np.roll(np.stack([run.actions for run in runs]), len(runs) // 2, axis=0)
    misled = metrics.psnr(dream(world, states, actions, runs[0].ticks, tell), _true_frames(runs))
    curves["shuffled_psnr"] = rounded(misled.mean(axis=0))
    return figure("action_sensitivity", (scores - misled).mean(axis=1))


def judge_idle(world: Dreamer, runs: list[TrueRun], curves: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Ten seconds without input: how much does the picture change, here and in truth?"""
    seen = dream_runs(world, open_dreams(world, runs, tell), runs, tell)
    first = np.stack([run.first for run in runs])[:, None]
    drift = metrics.mean_change(seen, first)
    curves |= {"idle_ticks": list(runs[0].ticks), "idle_drift": rounded(drift.mean(axis=0))}
    report = figure("idle_drift", drift[:, -1]) | {"idle_clips": len(runs), "copy_idle_drift": 0.0}
    if runs[0].frames is None:
        return report
    true_drift = metrics.mean_change(_true_frames(runs), first)
    curves["true_idle_drift"] = rounded(true_drift.mean(axis=0))
    return report | figure("true_idle_drift", true_drift[:, -1])


def judge_revisits(world: Dreamer, revisits: dict[int, list[TrueRun]], tell: Tell) -> dict[str, Any]:
    """Turn away and back: is what was there still there? Beside it the truth, and the view elsewhere as the floor."""
    report: dict[str, Any] = {}
    for seconds, runs in revisits.items():
        seen = dream_runs(world, open_dreams(world, runs, tell), runs, tell)
        first = np.stack([run.first for run in runs])
        report |= figure(f"revisit_psnr_{seconds}s", metrics.psnr(seen[:, -1], first))
        if runs[0].frames is not None:
            true = _true_frames(runs)
            report |= figure(f"true_revisit_psnr_{seconds}s", metrics.psnr(true[:, -1], first))
            report |= figure(f"elsewhere_psnr_{seconds}s", metrics.psnr(true[:, 0], first))
        report["revisit_clips"] = len(runs)
    return report


def judge_edits(world: Dreamer, edits: list[EditRun], folder: Path, tell: Tell) -> dict[str, Any]:
    """The world is edited under the player's eyes. One second on, is the dream the edited world or the other?"""
    if not edits:
        return {"edit_gain": None, "edit_gain_ci": None, "edit_clips": 0}
    runs = [edit.edited for edit in edits]
    states = [
        world.edit(state, edit.image, None, 0.0)
        for state, edit in zip(open_dreams(world, runs, tell), edits, strict=True)
    ]
    seen = dream_runs(world, states, runs, tell)[:, -1]
    edited = _true_frames(runs)[:, -1]
    unedited = np.stack([edit.unedited[-1] for edit in edits])
    names = ("before", "edited", f"dream t{truth.EDIT_TICKS}", f"true t{truth.EDIT_TICKS}", "without edit")
    strips = [
        Strip(edit.kind, np.stack([edit.edited.first, edit.image, seen[i], edited[i], unedited[i]]), names)
        for i, edit in enumerate(edits[:SHEET_CLIPS])
    ]
    write_sheet(folder / "edits.png", strips)
    report = figure("edit_gain", metrics.edit_gain(seen, edited, unedited)) | {"edit_clips": len(edits)}
    images = np.stack([edit.image for edit in edits])
    report |= figure("copy_edit_gain", metrics.edit_gain(images, edited, unedited))
    report |= figure("true_edit_gain", metrics.edit_gain(edited, edited, unedited))
    region = metrics.changed_region(edited, unedited)
    return report | figure("edit_psnr", metrics.psnr(seen, edited, region))


def judge_probes(
    world: Dreamer, probes: dict[str, list[ProbeRun]], folder: Path, films: list[Film], tell: Tell
) -> dict[str, Any]:
    """Small scenes in which one law of the world shows; see `probes`. Also of the truth and of a copied frame."""
    report: dict[str, Any] = {}
    strips: list[Strip] = []
    for name, scenes in probes.items():
        if not scenes:
            continue
        runs = [scene.run for scene in scenes]
        seen, true = dream_runs(world, open_dreams(world, runs, tell), runs, tell), _true_frames(runs)
        still = np.stack([np.repeat(run.first[None], len(run.ticks), axis=0) for run in runs])
        for prefix, shown in (("", seen), ("true_", true), ("copy_", still)):
            scores = [scene.score(frames) for scene, frames in zip(scenes, shown, strict=True)]
            report |= figure(f"{prefix}probe_{name}", np.array(scores))
        report["probe_clips"] = len(scenes)
        ticks = np.linspace(0, len(runs[0].ticks), PROBE_SHEET_FRAMES).astype(int)
        for label, frames in ((f"{name} true", true[0]), (f"{name} dream", seen[0])):
            shown = np.concatenate((runs[0].first[None], frames[ticks[1:] - 1]))
            strips.append(Strip(label, shown, [f"t{t}" for t in ticks] if label.endswith("true") else ()))
        captions = _captions(runs[0], range(1, len(true[0]) + 1))
        films.append(shoot(folder, "probe", name, runs[0].label, runs[0].first, true[0], seen[0], captions))
    if strips:
        write_sheet(folder / "probes.png", strips)
    return report


def open_teacher(model: str, device: str, size: tuple[int, int] | None = None) -> DreamWorld | None:
    """The many-step teacher in a model's folder, dreaming frames of `size`, or None where there is none."""
    folder = model_folder(model)
    if not (folder / TEACHER).is_file():
        return None
    try:
        import torch

        from reverie.model.torch_backend import TorchBackend
    except ImportError as error:
        raise ModelError("the teacher beside the model needs torch to be judged") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    network = load_model(folder, TEACHER)
    return DreamWorld(TorchBackend(network, device), model, size=size, steps=network.config.finest)


def judge_teacher(teacher: DreamWorld, runs: list[TrueRun], curves: dict[str, Any]) -> dict[str, Any]:
    """The teacher on the first few clips, and how far above the student it is there."""
    total = len(runs) * (len(runs[0].start) + len(runs[0].ticks))
    with progress_bar("teacher", total, "frame") as bar:
        seen = dream_runs(teacher, open_dreams(teacher, runs, bar.update), runs, bar.update)
    scores = metrics.psnr(seen, _true_frames(runs))
    student = np.array(curves["psnr_of_clips"][: len(runs)])
    curves["teacher_psnr"] = rounded(scores.mean(axis=0))
    report: dict[str, Any] = {"teacher_clips": len(runs), "teacher_steps": teacher.steps}
    for horizon in HORIZONS:
        report |= figure(f"teacher_psnr_{horizon}", scores[:, horizon - 1])
        report |= figure(f"teacher_lead_{horizon}", scores[:, horizon - 1] - student[:, horizon - 1])
    return report


def _write_contact_sheet(path: Path, runs: Sequence[TrueRun], true: np.ndarray, seen: np.ndarray) -> None:
    """True above dreamed frames at tick 0 and every few ticks; the most eventful clips of the lot, in order."""
    ticks = np.arange(0, len(runs[0].ticks) + 1, SHEET_EVERY)
    lively = sorted(np.argsort([-int(run.moving.sum()) for run in runs], kind="stable")[:SHEET_CLIPS])
    strips = []
    for i in lively:
        run = runs[i]
        captions = [run.label] + [action_caption(t, run.actions[t - SHEET_EVERY : t]) for t in ticks[1:]]
        for label, frames in (("true", true[i]), ("dream", seen[i])):
            shown = np.concatenate((run.first[None], frames[ticks[1:] - 1]))
            strips.append(Strip(label, shown, captions if label == "true" else ()))
    write_sheet(path, strips)


def _captions(run: TrueRun, ticks: Iterable[int]) -> list[str]:
    """For tick 0, and for each of `ticks`, what was done in the tick before it."""
    return [run.label] + [action_caption(tick, run.actions[tick - 1 : tick]) for tick in ticks]


def _true_frames(runs: Sequence[TrueRun]) -> np.ndarray:
    """uint8 [b, n, h, w, 3]."""
    return np.stack([run.frames for run in runs if run.frames is not None])


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise ReverieError(f"{path}: cannot be written ({error.strerror})") from error
