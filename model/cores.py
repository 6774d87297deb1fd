"""How many processors there are to work with."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Those that this process may run on; where the system does not tell, all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
