"""No slower and no larger after an hour: one session played on and on, its memory and its steps watched."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from reverie.demos.measure.amounts import WALK
from reverie.simulator.action import Action

SHARE = 0.1
"""The second tenth of the run is compared with its last: in the first the session's history fills up."""
MIB = 2**20
TURN_PERIOD = 200
"""Ticks after which the walk turns the other way."""


def long_run(sim: Any, ticks: int) -> dict[str, Any]:
    """Steps a `Simulator` so often, as fast as it goes.

    early_ms and late_ms: the median step in the second and in the last tenth; early_mib and late_mib: the process's
    memory at the end of these; late_p99_ms; states kept to go back to.
    """
    from tqdm import tqdm

    seconds = np.zeros(ticks)
    window = max(1, int(ticks * SHARE))
    early_mib = 0.0
    for tick in tqdm(range(ticks), desc="long run", unit="frame", file=sys.stderr, disable=None, leave=False):
        left = tick // TURN_PERIOD % 2
        action = Action(forward=True, camera=(0.0, -2.0)) if left else WALK
        began = time.perf_counter()
        sim.step(action)
        seconds[tick] = time.perf_counter() - began
        if tick + 1 == min(2 * window, ticks):
            early_mib = resident_mib()
    early, late = seconds[window : 2 * window], seconds[-window:]
    return {
        "ticks": ticks,
        "early_ms": round(float(np.median(early)) * 1000, 3),
        "late_ms": round(float(np.median(late)) * 1000, 3),
        "late_p99_ms": round(float(np.percentile(late, 99)) * 1000, 3),
        "early_mib": round(early_mib, 1),
        "late_mib": round(resident_mib(), 1),
        "ticks_to_go_back": len(sim.history),
    }


def resident_mib() -> float:
    """Memory of this process: what is resident now (Linux), or the most there ever was (elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
    import resource

    return pages * resource.getpagesize() / MIB
