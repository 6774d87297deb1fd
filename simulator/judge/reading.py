"""Are the actions in the dream? A reader that knows true clips alone reads them back from the frames.

`action_f1` pools all keys that the reader reads (`action_f1_keys` has them one by one); `camera_deg` is the median
error, in degrees, over the ticks at which the camera was turned. `true_action_f1` and `true_camera_deg` are the same
on the true frames of the same clips: the reader's own error. A held key counts only where it had an effect in the true
world (`simulator/lessons.py`; of recordings, `clip_rows.row_effects`); where that is unknown every held key counts.
Recordings of other games are read by readers of their own where such ship.

Letters: b clips, t ticks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reverie.model.actions import ACTION_INDEX, CAMERA_SCALE
from reverie.simulator.judge.figures import DIGITS, OF_CLIPS, interval, ratio, rounded
from reverie.simulator.judge.metrics import bootstrap
from reverie.simulator.judge.truth import TrueRun

if TYPE_CHECKING:
    from reverie.model.readers import Readers

TURNED = 0.1
"""Degrees; a tick with less of a turn says nothing about the camera."""
SLOTS = 9


@lru_cache(maxsize=4)
def shipped_readers(layout: str = "reverie") -> Readers:
    """The readers that ship for recordings of a layout, or for the voxel world. Raises ModelError."""
    from reverie.model.readers import SHIPPED, Readers

    own = SHIPPED.with_name(f"{SHIPPED.name}-{layout}")
    return Readers.load(own if own.is_dir() else SHIPPED)


class ActionScores(NamedTuple):
    """How well actions were read back from b clips."""

    counts: np.ndarray
    """float64 [b, k, 2]: of each key twice the ticks at which it was rightly read as held, and the ticks at which it
    was read as held plus those at which it was."""
    turned: np.ndarray
    """float64 [b, t]: degrees between the camera's turn and the one read; NaN where it was not turned."""
    keys: tuple[str, ...]


def read_back(
    readers: Readers, frames: np.ndarray, actions: np.ndarray, effect: np.ndarray | None = None
) -> ActionScores:
    """Reads b clips, frames uint8 [b, t + 1, h, w, 3], and compares with `actions` float32 [b, t, 25].

    `effect` [b, t, len(KEYS)] says what each held key did (`simulator/lessons.py`); without it all held keys count.
    """
    from reverie.model.readers import BUTTONS, effective
    from reverie.model.training.lessons import KEYS

    read = readers.read_actions(frames)
    held = actions[..., [ACTION_INDEX[name] for name in BUTTONS]] > 0.5
    pressed = actions[..., [ACTION_INDEX[f"hotbar.{slot}"] for slot in range(1, SLOTS + 1)]] > 0.5
    slot = np.where(pressed.any(-1), pressed.argmax(-1) + 1, 0)
    shown = held
    counted = np.ones(slot.shape, bool)
    if effect is not None:
        shown = effective(held, effect[..., [KEYS.index(name) for name in BUTTONS]])
        counted = (slot == 0) | (effect[..., KEYS.index("hotbar")] > 0)
    weight = shown | ~held
    right = (read.buttons & shown).sum(1)
    said = (read.buttons & weight).sum(1) + shown.sum(1)
    if readers.hotbar:
        right = np.c_[right, ((read.hotbar == slot) & (slot > 0) & counted).sum(1)]
        said = np.c_[said, ((read.hotbar > 0) & counted).sum(1) + ((slot > 0) & counted).sum(1)]
    counts = np.stack((2 * right, said), -1).astype(np.float64)
    first = ACTION_INDEX["cameraX"]
    true_turn = actions[..., first : first + 2].astype(np.float64) * CAMERA_SCALE
    error = np.linalg.norm(read.camera - true_turn, axis=-1)
    turned = np.where(np.linalg.norm(true_turn, axis=-1) >= TURNED, error, np.nan)
    return ActionScores(counts, turned, readers.readable)


def figures(scores: ActionScores, prefix: str = "") -> dict[str, Any]:
    """The report's entries of these scores, their names beginning with `prefix`."""
    report = ratio(f"{prefix}action_f1", scores.counts.sum(axis=1))
    total = scores.counts.sum(axis=0)
    report[f"{prefix}action_f1_keys"] = {
        key: round(float(above / below), DIGITS) if below else None for key, (above, below) in zip(scores.keys, total)
    }
    some = scores.turned[~np.isnan(scores.turned).all(axis=1)]
    if not len(some):
        return report | {f"{prefix}camera_deg": None, f"{prefix}camera_deg_ci": None}
    report |= interval(f"{prefix}camera_deg", bootstrap(some, _median))
    return report | {f"{prefix}camera_deg{OF_CLIPS}": rounded(np.nanmedian(some, axis=1))}  # of each clip its median


def judge_actions(seen: np.ndarray, true: np.ndarray, runs: list[TrueRun]) -> dict[str, Any]:
    """The entries for b runs: frames uint8 [b, t, h, w, 3] after tick 0 as dreamed and as they truly were."""
    readers = shipped_readers(runs[0].layout)
    first = np.stack([run.first for run in runs])[:, None]
    actions = np.stack([run.actions for run in runs])
    known = [run.effect for run in runs if run.effect is not None]
    effect = np.stack(known) if len(known) == len(runs) else None
    report: dict[str, Any] = {"readable": list(readers.readable)}
    for prefix, frames in (("", seen), ("true_", true)):
        report |= figures(read_back(readers, np.concatenate((first, frames), 1), actions, effect), prefix)
    return report


def _median(drawn: np.ndarray) -> np.ndarray:
    """[resamples, n, t] -> [resamples]: the median of what is known."""
    return np.nanmedian(drawn.reshape(len(drawn), -1), axis=1)
