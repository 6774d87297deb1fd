"""How many threads, or processes beside each other, this process may run: the least that anything around it says."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path, PurePosixPath

OMP_THREADS = "OMP_NUM_THREADS"
PROC = Path("/proc/self")
BACKGROUND_NICE = 10
"""Niceness of threads whose work can wait."""


def usable_cores() -> int:
    """Threads to start, at least 1: the least of the affinity mask, the CPU quota and `OMP_NUM_THREADS`."""
    asked = threads_asked_for()
    return allowed_cores() if asked is None else min(asked, allowed_cores())


def allowed_cores() -> int:
    """Cores that the system grants, at least 1: the affinity mask (else all cores) and the CPU quota, rounded down.

    The part of a core that a quota leaves over is no core: threads that wait for each other would be held up together.
    """
    masked = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return masked if quota is None else max(1, min(masked, int(quota)))


def threads_asked_for() -> int | None:
    """What `OMP_NUM_THREADS` says, of nested levels ("4,2") the outermost; None where it says nothing usable."""
    first = os.environ.get(OMP_THREADS, "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and int(first) > 0 else None


def cpu_quota(proc: Path = PROC) -> float | None:
    """Cores' worth of time that control groups grant, those above this process's own included; None: no limit.

    Versions 1 and 2 are read, below whatever `mountinfo` and `cgroup` in the folder `proc` say (man 7 cgroups).
    """
    try:
        mounts = (proc / "mountinfo").read_text("utf-8", "replace").splitlines()
        lines = (proc / "cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    own: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        own |= dict.fromkeys(controllers.split(","), path)  # version 2 names no controller
    found = []
    for line in mounts:
        place, _, source = line.partition(" - ")
        fields, kind, options = place.split(" "), source.split(" ")[0], source.split(" ")[-1].split(",")
        if len(fields) < 5 or not (kind == "cgroup2" or (kind == "cgroup" and "cpu" in options)):
            continue
        group = own.get("" if kind == "cgroup2" else "cpu")
        if group is not None:
            root, mounted = (field.encode().decode("unicode_escape") for field in fields[3:5])
            found += [_quota_of(folder, kind) for folder in _folders(Path(mounted), root, group)]
    return min((quota for quota in found if quota is not None), default=None)


def _folders(mounted: Path, root: str, group: str) -> list[Path]:
    """The folder of `group` in a hierarchy whose group `root` is mounted there, and those of its ancestors."""
    try:
        below = PurePosixPath(group).relative_to(root)
    except ValueError:  # a container that sees the names of its host
        below = PurePosixPath()
    steps = [part for part in below.parts if part != ".."]
    return [mounted.joinpath(*steps[:count]) for count in range(len(steps) + 1)]


def _quota_of(folder: Path, kind: str) -> float | None:
    """The quota in a group's own files, in cores, or None."""
    try:
        if kind == "cgroup2":
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        cores = int(quota) / int(period)  # "max" or -1: no limit
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def give_way() -> None:
    """Lets every other process on the machine go first.

    Linux shares cores between sessions first (autogroups, man 7 sched): a process with its own session has to lower
    that, too, or its niceness means nothing to others.
    """
    os.nice(19)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


def let_others_first() -> None:
    """Lowers the priority of the thread that calls it below that of the process's others, where the system can
    (Linux); it still has a core that nobody else wants."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICE)
