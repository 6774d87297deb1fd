"""True runs from a folder of recordings in VPT's layout, for models of worlds that we do not own."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reverie.simulator.clip_check import examine, reason_of
from reverie.simulator.clip_lines import count_lines
from reverie.simulator.clip_names import find_clip
from reverie.simulator.clip_rows import clip_edited, clip_effects, clip_late
from reverie.simulator.clip_split import held_out, recordings, seed_of
from reverie.simulator.clips import Clip
from reverie.simulator.errors import ClipError
from reverie.simulator.judge.truth import HORIZON, TrueRun, split

TRIES_PER_CLIP = 8
"""Windows looked at for each one that is wanted; those with menus, gaps, edits or late ticks in them do not count."""


def recorded_runs(
    folder: str,
    count: int,
    seed: int,
    context: int,
    size: tuple[int, int],
    held: float | None = None,
    map_seeds: Collection[int] = (),
    horizon: int = HORIZON,
    late: bool = False,
    only: Collection[Path] | None = None,
) -> list[TrueRun]:
    """`count` windows (fewer, if there are no more) of the recordings in `folder`, at random.

    With `held` only of the recordings that `held_out` keeps from training, with `map_seeds` or `only` just
    of these. Each goes `horizon` ticks on after `context` frames; those with ticks of the wrong length do not
    count unless `late`. Broken ones are named in a warning and left out. Raises ClipError.
    """
    films = recordings(Path(folder))
    kept = set(films) if held is None else held_out(films, held)
    if only is not None:
        kept &= set(only)
    chosen = [film for film in films if film in kept and (not map_seeds or seed_of(film) in map_seeds)]
    span = context + horizon
    lengths, broken = _lengths(chosen)
    usable = [film for film, ticks in lengths.items() if ticks >= span]
    if not usable:
        why = f"; {broken[0]}" if broken else ""
        raise ClipError(f"{folder}: holds no recording (NAME.mp4 and NAME.jsonl) of {span} frames or more{why}")
    rng = np.random.default_rng(seed)
    runs: dict[tuple[Path, int], TrueRun] = {}
    scales: dict[Path, float] = {}
    for attempt in range(count * TRIES_PER_CLIP):
        if len(runs) == count or not usable:
            break
        film = usable[attempt % len(usable)]
        start = int(rng.integers(lengths[film] - span + 1))
        if (film, start) in runs:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a recording that was cut off is as good as any
            try:
                if film not in scales:  # what training would leave out is not judged by
                    scales[film] = examine(film).degrees_per_pixel
                clip = Clip.load(film, start, span, size=size, degrees_per_pixel=scales[film])
            except Exception as error:  # whatever is wrong with one recording, the others are judged by
                broken.append(reason_of(error))
                usable.remove(film)
                continue
        if _whole(clip, context, span, late):
            run = split(clip, context, f"{film.stem} {start}", seed + len(runs))
            effects = clip_effects(clip)
            known = None if effects is None else effects[context - 1 : -1]
            runs[film, start] = replace(run, effect=known, layout=clip.layout)
    for reason in broken:
        warnings.warn(f"left out: {reason}", stacklevel=2)
    if not runs:
        raise ClipError(f"{folder}: no {span} frames on end without a menu, an edit or a late tick")
    return list(runs.values())


def _whole(clip: Clip, context: int, span: int, late: bool) -> bool:
    """Whether it is all there, and each frame after tick 0 just the outcome of the action before, if `late` at that."""
    if len(clip) < span or (clip.ticks is not None and (np.diff(clip.ticks) != 1).any()):
        return False
    if not late and clip_late(clip)[context - 1 : -1].any():
        return False
    return not clip_edited(clip)[context:].any()


def _lengths(films: Sequence[Path]) -> tuple[dict[Path, int], list[str]]:
    """The ticks of each recording, and why some cannot be read."""
    lengths: dict[Path, int] = {}
    broken = []
    for film in films:
        try:
            lengths[film] = count_lines(find_clip(film)[1])
        except ClipError as error:
            broken.append(str(error))
    return lengths, broken
