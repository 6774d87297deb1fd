"""All training of a model as one queue in one folder: data, then the parts, each resumable, one process at a time.

The folder holds `data/`, `facts.json`, a folder of each part with its checkpoint, and `ledger.json` with the core-hours
that each part has had. A file `pause` in it holds training up until it is gone; `lock` names the process at work.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.model.errors import ReverieError
from reverie.model.training.stopping import stop_on_request

LEDGER, LOCK, PAUSE = "ledger.json", "lock", "pause"
SLICE_MINUTES = 30.0
"""After so long the ledger is written, and a stage goes on from its checkpoint."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One entry of the queue: `run(minutes)` works for about so long and gives figures."""

    name: str
    hours: float
    """Core-hours after which the queue goes on to the next stage; 0: run once."""
    run: Callable[[float], dict[str, float]]


def read_ledger(folder: Path) -> dict[str, Any]:
    """`{stage: {"hours": ..., "figures": {...}}}`; empty where nothing was trained."""
    path = folder / LEDGER
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _note(folder: Path, name: str, hours: float, figures: dict[str, float]) -> None:
    ledger = read_ledger(folder)
    entry = ledger.setdefault(name, {"hours": 0.0, "figures": {}})
    entry["hours"] += hours
    entry["figures"] = figures or entry["figures"]
    part = folder / (LEDGER + ".part")
    part.write_text(json.dumps(ledger, indent=1), encoding="utf-8")
    part.replace(folder / LEDGER)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock. Raises ReverieError while another process that is alive has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    for _ in range(2):
        try:
            with lock.open("x", encoding="utf-8") as file:
                file.write(str(os.getpid()))
            break
        except FileExistsError:
            text = lock.read_text(encoding="utf-8").strip()
            if text.isdigit() and _alive(int(text)):
                raise ReverieError(f"{folder}: process {text} is training there") from None
            lock.unlink(missing_ok=True)  # its process is gone
    else:
        raise ReverieError(f"{folder}: cannot be locked")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def wait_while_paused(folder: Path) -> float:
    """Seconds waited: sleeps as long as there is a file `pause`."""
    begun = time.monotonic()
    while (folder / PAUSE).exists():
        time.sleep(2.0)
    return time.monotonic() - begun


def run_queue(
    folder: Path, stages: list[Stage], minutes: float, slice_minutes: float = SLICE_MINUTES
) -> dict[str, Any]:
    """Works through the stages for so many minutes; gives the ledger. Each stage is resumed in slices until it has had
    its hours. SIGTERM ends the stage at hand, with a checkpoint, and the queue."""
    with locked(folder), stop_on_request() as asked:
        end = time.monotonic() + minutes * 60
        for stage in stages:
            while True:
                entry = read_ledger(folder).get(stage.name)
                done = entry is not None and entry["hours"] >= stage.hours
                left = (end - time.monotonic()) / 60
                if done or left <= 0.05 or asked.is_set():
                    break
                wait_while_paused(folder)
                wanted = stage.hours - (entry["hours"] if entry else 0.0)
                begun = time.monotonic()
                figures = stage.run(min(slice_minutes, left, wanted * 60) if stage.hours else left)
                _note(folder, stage.name, (time.monotonic() - begun) / 3600, figures)
    return read_ledger(folder)


def status(folder: Path, stages: list[Stage]) -> dict[str, Any]:
    """Where each stage stands: hours had and wanted, the newest figures, and who works."""
    ledger = read_ledger(folder)
    lock = folder / LOCK
    pid = lock.read_text(encoding="utf-8").strip() if lock.exists() else ""
    return {
        "working": int(pid) if pid.isdigit() and _alive(int(pid)) else None,
        "paused": (folder / PAUSE).exists(),
        "stages": {stage.name: {"wanted": stage.hours, **ledger.get(stage.name, {"hours": 0.0})} for stage in stages},
    }
