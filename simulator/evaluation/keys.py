"""What each figure of a report means: its unit, which way is good, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reverie.simulator.evaluation.runs import (
    DOOR_TURNS,
    FAR_SECONDS,
    HORIZONS,
    REVISIT_SECONDS,
    STAY_SECONDS,
    TURN_RATES,
    WALK_SECONDS,
)

Aim = Literal["high", "low", "one", "none"]
"""Which way is good; `one`: the nearer to 1; `none`: neither, to be read beside another figure."""
BASELINES = ("copy", "true", "elsewhere")
"""Prefixes: the last frame of the start for ever; the truth itself; a picture of another place."""
MEDIANS = ("detail", "contrast", "place_error", "body_error")
"""Figures that begin so are medians over runs; all others are means."""


@dataclass(frozen=True, slots=True)
class Key:
    """One figure."""

    name: str
    unit: str
    aim: Aim
    what: str


def _psnr(prefix: str, ticks: tuple[int, ...], what: str) -> list[Key]:
    return [Key(f"{prefix}_{tick}", "dB", "high", f"PSNR after {tick} ticks over {what}") for tick in ticks]


KEYS: tuple[Key, ...] = (
    *_psnr("seen_psnr", HORIZONS, "pixels in sight in the start's frames, by true depth and pose"),
    *_psnr("seen_land_psnr", HORIZONS, "those of them that show no sky"),
    *_psnr("seen_since_psnr", HORIZONS, "pixels in sight in the start's frames, or in a true frame since"),
    *_psnr("psnr", HORIZONS[:3], "all pixels"),
    *(
        Key(f"perceptual_{tick}", "", "low", f"distance to the truth after {tick} ticks in EfficientNet-Lite0")
        for tick in HORIZONS[:3]
    ),
    *(
        Key(f"place_error_{tick}", "m", "low", f"median distance of the player from the true place after {tick} ticks")
        for tick in HORIZONS
    ),
    *(
        Key(f"detail_{s}s", "of the truth's", "one", f"Laplacian energy, {s} s into straight walks; median")
        for s in WALK_SECONDS
    ),
    *(
        Key(f"contrast_{s}s", "of the truth's", "one", f"deviation of brightness, {s} s into straight walks; median")
        for s in WALK_SECONDS
    ),
    *(
        Key(f"frechet_{s}s", "", "low", f"Fréchet distance of frames up to {s} s of walks to the true ones of the same "
            "walks, over that of other worlds' true ones, in projected EfficientNet-Lite0 features")
        for s in FAR_SECONDS
    ),
    *(
        Key(f"turn_return_{rate:g}", "dB", "high", f"a full turn at {rate:g} degrees a tick: PSNR to the own start")
        for rate in TURN_RATES
    ),
    *(
        Key(f"revisit_psnr_{s}s", "dB", "high", f"half a turn away, {s} s there, and back: PSNR to the own start")
        for s in REVISIT_SECONDS
    ),
    Key("walk_return_psnr", "dB", "high", "two seconds ahead and back: PSNR in pixels that the start showed"),
    Key("idle_drift", "of 255", "low", "ten seconds without input: mean change of pixels that are still in truth"),
    Key("idle_motion", "of the truth's", "one", "the same: change from second to second where it moves in truth"),
    Key("seeds_same", "dB", "high", "PSNR between seeds, half a turn away and back, in pixels seen before"),
    Key("seeds_new", "dB", "none", "PSNR between seeds, half a turn away, in pixels never seen; low: varied"),
    Key("seeds_new_detail", "of the truth's", "one", "Laplacian energy there, over the truth's"),
    Key("edit_psnr_0s", "dB", "high", "a door painted on a wall: PSNR in its pixels to what was painted, at once"),
    *(
        Key(f"edit_psnr_{s}s", "dB", "high", f"PSNR in the door's pixels to the truth with the same door, {s} s later")
        for s in STAY_SECONDS
    ),
    *(
        Key(f"edit_gain_{s}s", "dB", "high", f"that, minus PSNR to the truth without the door, {s} s later")
        for s in STAY_SECONDS
    ),
    *(
        Key(f"edit_return_turn{rate:g}", "dB", "high", f"after half a turn away and back at {rate:g} degrees a tick")
        for rate in DOOR_TURNS
    ),
    Key("edit_away_walk", "dB", "high", "from three metres back"),
    Key("edit_return_walk", "dB", "high", "after walking three metres back and coming again"),
    Key("edit_return", "dB", "high", "mean of the three returns"),
    Key("tasks_16", "", "high", "share of sixteen scripted tasks and look-alikes that end in the state as they "
        "do in truth"),
    Key("tasks_16_done", "", "high", "of those that succeed in truth"),
    Key("tasks_16_not_done", "", "high", "of those that fail in truth"),
    *(Key(f"nostate_psnr_{tick}", "dB", "high", f"all cells unknown: PSNR, {tick} ticks") for tick in HORIZONS[:2]),
    *(Key(f"nostate_gain_{tick}", "dB", "high", "that, minus the PSNR of copying") for tick in HORIZONS[:2]),
    Key("action_f1", "", "high", "keys read back from the frames by a network that knows true pictures alone"),
    Key("camera_deg", "degrees", "low", "median error of the camera's turn read back from the frames"),
    Key("walls_standing", "of the truth's", "one", "48 walks: share of ticks held up by walls, over the truth's"),
    Key("walls_inside", "ticks", "low", "48 walks: ticks inside the world's own solid cells, all walks together"),
    *(Key(f"body_error_{tick}", "m", "low", f"48 walks: median error, {tick} ticks") for tick in (8, 32, 80)),
)  # fmt: skip
"""In the order in which they are shown."""
BY_NAME = {key.name: key for key in KEYS}


def is_median(name: str) -> bool:
    """Whether a figure is the median of its runs."""
    base = name
    for prefix in BASELINES:
        base = base.removeprefix(f"{prefix}_")
    return base.startswith(MEDIANS)
