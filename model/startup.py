"""What libraries take for granted of the user, the machine and the installation, settled before they are imported.

Importing `reverie.model`, which everything here does first, calls `settle`. Imports the standard library alone.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reverie.model.cores import OMP_THREADS, allowed_cores, usable_cores
from reverie.model.errors import ReverieError

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""Read by ONNX Runtime (1.29 and newer) when it is loaded; without it, it reports on its use to its maker."""
GREETING_OFF = "PYGAME_HIDE_SUPPORT_PROMPT"
TORCH = ("torch", "einops")
"""What a network of ours needs to run in torch."""
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (*TORCH, "onnx", "onnxscript"),
    "export": ("onnx", "onnxscript"),
    "rl": ("torch", "stable_baselines3"),
    "lora": ("torch", "peft"),
}
"""Modules of each optional group of dependencies in `pyproject.toml` that a command cannot do without."""
INSTALLED_NAMES = {"stable_baselines3": "stable-baselines3"}
"""Of modules that are not called like their package."""


class MissingExtra(ReverieError, ImportError):
    """A command needs an optional group of dependencies that is not installed."""


def settle() -> None:
    """Sets environment variables that libraries read at their import, where the user has not set them.

    ONNX Runtime's telemetry is off, and pygame does not print its name on standard output. Under a CPU quota
    `OMP_NUM_THREADS` is what the quota allows, for libraries that count the machine's cores instead (OpenBLAS, OpenMP,
    torch), here and in processes that this one starts.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")
    os.environ.setdefault(GREETING_OFF, "1")
    masked = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    if OMP_THREADS not in os.environ and masked is not None and allowed_cores() < masked:
        os.environ[OMP_THREADS] = str(allowed_cores())


def limit_torch() -> None:
    """Lowers the threads of torch, if it has more, to those that this process may run. Imports torch."""
    import torch

    if torch.get_num_threads() > usable_cores():
        torch.set_num_threads(usable_cores())


def require(extra: str, what: str, modules: Sequence[str] | None = None) -> None:
    """Raises MissingExtra, which says how to install `extra`, unless its modules (or just `modules`) are installed.

    `what` needs them. Nothing is imported, so this is quick, and can come before any work.
    """
    missing = [name for name in modules or EXTRAS[extra] if not _installed(name)]
    if missing:
        names = " and ".join(INSTALLED_NAMES.get(name, name) for name in missing)
        raise MissingExtra(f"{what} needs {names}: pip install 'reverie[{extra}]'")


def require_for_script(extra: str, name: str) -> None:
    """`require` for a module called `name` that imports an extra at its top: run as a script, one line and exit code 2.

    Raises MissingExtra where the module is imported.
    """
    script = Path(sys.argv[0]).stem
    try:
        require(extra, script if name == "__main__" else name)
    except MissingExtra as error:
        if name != "__main__":
            raise
        print(f"reverie: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def user_cache() -> Path | None:
    """The folder that the system gives a user for caches; None for a user who has no home folder."""
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the list of users
        home = None
    named = os.environ.get({"win32": "LOCALAPPDATA", "darwin": ""}.get(sys.platform, "XDG_CACHE_HOME"))
    if named and Path(named).is_absolute():
        return Path(named)
    if home is None or not home.is_absolute():
        return None
    return home / {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")


def private_folder(name: str) -> Path | None:
    """`name` with the user's number, in the folder for temporary files; None where that cannot be had.

    Nobody else may write there: what is loaded from it may be code.
    """
    try:
        path = Path(tempfile.gettempdir()) / (f"{name}-{os.getuid()}" if hasattr(os, "getuid") else name)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077):
        return None
    return path


def _installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
