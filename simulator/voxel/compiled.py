"""Compiled functions whose cache on disk is thrown away when any file of the voxel world changes.

Numba's own cache looks only at the file of the function itself, and would go on running an old copy of what it calls
in other files: after an update two machines, or two processes, could then see different worlds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit

_FAST = {"contract", "arcp", "reassoc", "nsz"}
"""Freedoms in arithmetic that keep infinities and NaN what they are."""


@lru_cache(maxsize=1)
def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _decorator(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(cache=True, nogil=True, **options)(function)
        # Numba has no public way to say on what a cached function depends.
        dispatcher._cache._cache_file._source_stamp = _sources_digest()
        return dispatcher

    return decorate


compiled = _decorator()
"""Compiles a function, without the interpreter's lock, cached on disk."""
compiled_fast = _decorator(fastmath=_FAST, error_model="numpy")
"""The same for the renderer: sums may be reordered, and dividing by zero gives infinity."""
compiled_inline = _decorator(fastmath=_FAST, error_model="numpy", inline="always")
"""The same, copied into its callers, for small functions of the innermost loop."""
