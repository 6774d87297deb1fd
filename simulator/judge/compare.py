"""`reverie compare`: two models on the same clips, key by key, and whether the second one may replace the first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reverie.model.config import ModelConfig
from reverie.model.errors import ReverieError
from reverie.model.weights import load_config, model_folder
from reverie.simulator.judge import metrics
from reverie.simulator.judge.evaluate import VALUES, context_of, evaluate
from reverie.simulator.judge.figures import DIGITS
from reverie.simulator.judge.keys import DECIDING, Aim, find, goodness
from reverie.simulator.judge.metrics import CONFIDENCE, Interval, bootstrap
from reverie.simulator.outputs import writable_folder
from reverie.simulator.voxel.world import HELD_OUT_SEED

Verdict = Literal["better", "same", "worse", "mixed"]
REQUIREMENTS: dict[str, tuple[Verdict, ...]] = {"better": ("better",), "not-worse": ("better", "same")}
"""What may be required of the second model, and the verdicts that fulfil it."""
COMPARISON = "compare.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """One key of two models. `better` and its interval are positive where the second model is the better one."""

    key: str
    first: float
    second: float
    better: Interval
    clips: int

    @property
    def says(self) -> Verdict:
        """Of the second model."""
        return "better" if self.better.low > 0 else "worse" if self.better.high < 0 else "same"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "first": round(self.first, DIGITS),
            "second": round(self.second, DIGITS),
            "improvement": round(self.better.value, DIGITS),
            "improvement_ci": [round(self.better.low, DIGITS), round(self.better.high, DIGITS)],
            "clips": self.clips,
            "says": self.says,
        }


def paired(key: str, first: np.ndarray, second: np.ndarray, confidence: float = CONFIDENCE) -> Difference:
    """Two models' values [n] of one key on the same n clips, or [n, 2]: parts of a ratio of sums.

    Paired bootstrap: clips are drawn anew, each with both its values (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993). For a key whose aim is one, the difference is that of the distances from one.
    """
    aim: Aim = find(key).aim

    def improvement(drawn: np.ndarray) -> np.ndarray:
        return goodness(aim, _statistic(drawn[:, :, 1])) - goodness(aim, _statistic(drawn[:, :, 0]))

    both = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)], axis=1)
    before, after = (float(_statistic(both[None, :, side])[0]) for side in (0, 1))
    return Difference(key, before, after, bootstrap(both, improvement, confidence), len(both))


def _statistic(drawn: np.ndarray) -> np.ndarray:
    """[resamples, n] or [resamples, n, 2] -> [resamples]."""
    return drawn.mean(axis=1) if drawn.ndim == 2 else metrics.ratio_of_sums(drawn)


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], keys: Sequence[str], confidence: float = CONFIDENCE
) -> list[Difference]:
    """Those of `keys` that both sets of per-clip values hold for the same clips."""
    found = []
    for key in keys:
        one, two = np.asarray(first.get(key, ())), np.asarray(second.get(key, ()))
        if len(one) and one.shape == two.shape:
            found.append(paired(key, one, two, confidence))
    return found


def decide(first: Mapping[str, Any], second: Mapping[str, Any], keys: Sequence[str]) -> Verdict:
    """The second model's verdict over several keys.

    Their intervals are widened so that all together hold with 95 % confidence (Bonferroni): looking at more keys does
    not make a chance difference likelier.
    """
    confidence = 1 - (1 - CONFIDENCE) / len(keys)
    said = {difference.says for difference in differences(first, second, keys, confidence)}
    if {"better", "worse"} <= said:
        return "mixed"
    return "better" if "better" in said else "worse" if "worse" in said else "same"


def compare(
    first: str,
    second: str,
    *,
    keys: Sequence[str] = (),
    require: str | None = None,
    clips: int = 64,
    seed: int = HELD_OUT_SEED,
    data: str | None = None,
    quick: bool = False,
    fresh: bool = False,
    out: str | None = None,
    backend: str = "auto",
    device: str = "auto",
) -> dict[str, Any]:
    """Judges both models on the same clips (what `evaluate` has cached is not computed again) and compares them.

    `keys` decide (DECIDING); `require` is None or one of REQUIREMENTS, and `accepted` tells whether it is fulfilled.
    Writes compare.json, and both reports beside it, to `out` (runs/compare). Raises ReverieError.
    """
    if require is not None and require not in REQUIREMENTS:
        raise ReverieError(f"requirement {require!r} is unknown; there are {', '.join(REQUIREMENTS)}")
    configs = [load_config(model_folder(model)) for model in (first, second)]
    context = common_context(*configs)
    folder = Path(out) if out is not None else Path("runs/compare")
    writable_folder(folder)
    folders = (folder / "first", folder / "second")
    reports = [
        evaluate(
            model, data=data, clips=clips, seed=seed, quick=quick, out=str(place), backend=backend, device=device,
            context=context, fresh=fresh,
        )
        for model, place in zip((first, second), folders, strict=True)
    ]  # fmt: skip
    values = [json.loads((place / VALUES).read_text("utf-8")) for place in folders]
    chosen = tuple(keys) or tuple(key for key in DECIDING if values[0].get(key) and values[1].get(key))
    missing = [key for key in chosen if not (values[0].get(key) and values[1].get(key))]
    if missing:
        raise ReverieError(f"key {missing[0]!r} has no values of single clips; there are {', '.join(values[0])}")
    verdict = decide(values[0], values[1], chosen)
    result = {
        "first": first,
        "second": second,
        "fingerprints": [report["fingerprint"] for report in reports],
        "clips": reports[0]["clips"],
        "seeds": reports[0]["seeds"],
        "deciding": list(chosen),
        "verdict": verdict,
        "require": require,
        "accepted": require is None or verdict in REQUIREMENTS[require],
        "keys": {one.key: one.to_dict() for one in differences(values[0], values[1], list(values[0]))},
        "out": str(folder),
    }
    try:
        (folder / COMPARISON).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise ReverieError(f"{folder / COMPARISON}: cannot be written ({error.strerror})") from error
    return result


def common_context(first: ModelConfig, second: ModelConfig) -> int:
    """Frames before tick 0 that serve both models, so that both see the same clips. Raises ReverieError."""
    if first.size != second.size:
        raise ReverieError(f"models of {first.size} and {second.size} pixels cannot be compared frame by frame")
    return max(context_of(first), context_of(second))


def lines(result: Mapping[str, Any]) -> list[str]:
    """A comparison for a terminal, one line a key."""
    width = max((len(key) for key in result["keys"]), default=0)
    rows = []
    for key, row in result["keys"].items():
        low, high = row["improvement_ci"]
        mark = "*" if key in result["deciding"] else " "
        rows.append(
            f"{mark} {key:<{width}} {row['first']:9.3f} {row['second']:9.3f}   {row['improvement']:+8.3f} "
            f"({low:+.3f} to {high:+.3f})  {row['says']}"
        )
    head = f"  {'key':<{width}} {'first':>9} {'second':>9}   improvement (95 % interval); * decides"
    return [head, *rows]
