"""Compiled functions, cached on disk where there is a place for it; damage to the cache costs time, not the world.

A cached function is thrown away when any file beside its own, or any of the model's kernels, changes. Numba's own
cache looks only at the file of the function itself, and would go on running an old copy of what it calls in other
files: after an update two machines, or two processes, could then see different worlds.
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import caching

from reverie.model.errors import ReverieError
from reverie.model.startup import private_folder, user_cache

_SETTINGS: Any = numba.config  # filled in at run time
if _SETTINGS.DISABLE_JIT:
    raise ReverieError("worlds have to be compiled, which NUMBA_DISABLE_JIT forbids: unset it")

CACHE_FOLDER = "reverie-numba"
DIGEST_BYTES = 32
_FAST = {"contract", "arcp", "reassoc", "nsz"}
"""Freedoms in arithmetic that keep infinities and NaN what they are."""


KERNELS = ("*.py", "caster/*.py", "dream/*.py", "dynamics/*.py", "frame/*.py", "lift/*.py")
"""Files of the model that compiled functions, or constants in them, come from."""


@lru_cache
def _sources_digest(folder: Path) -> str:
    """A digest of the sources in `folder` and of the model's kernels."""
    model = Path(__file__).parent
    files = {path for pattern in KERNELS for path in model.glob(pattern)} | set(folder.glob("*.py"))
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(model.parent)).encode() if path.is_relative_to(model.parent) else b"")
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@lru_cache
def _writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where compiled functions are kept: the first that can be written to of `NUMBA_CACHE_DIR`, `__pycache__` beside
    the sources, the user's folder for caches, and one of the user's own among the temporary files; else None.
    """
    here = Path(__file__).resolve().parent
    name = f"{here.name}_{hashlib.sha256(str(here).encode()).hexdigest()[:DIGEST_BYTES]}"
    asked, users = _SETTINGS.CACHE_DIR, user_cache()
    if asked and _writable(Path(asked) / name):
        return Path(asked) / name
    if _writable(here / "__pycache__"):
        return here / "__pycache__"
    if users is not None and _writable(users / "numba" / name):
        return users / "numba" / name
    own = private_folder(CACHE_FOLDER)
    return own / name if own is not None and _writable(own / name) else None


# Numba has no public way to say where a function is cached, on what it depends, and what to do about damage.


class _Locator(caching._CacheLocator):
    """Puts all functions into `cache_folder`."""

    def __init__(self, line: int, folder: Path, sources: Path) -> None:
        self._line, self._folder, self._sources = line, folder, sources

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return _sources_digest(self._sources)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator | None:
        folder = cache_folder()
        sources = Path(py_file).resolve().parent
        return None if folder is None else cls(py_func.__code__.co_firstlineno, folder, sources)


class _Place(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]  # noqa: RUF012


class _CheckedFile(caching.IndexDataCacheFile):
    """Machine code is loaded only as it was saved: a digest of it comes first in its file."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise OSError(f"{name}: damaged")
        return pickle.loads(content)


class _Cache(caching.FunctionCache):
    """A cache that cannot be read is empty, and one that cannot be written is no cache; neither is an error."""

    _impl_class = _Place

    def __init__(self, py_func: Callable[..., Any]) -> None:
        """Raises RuntimeError where there is no folder to write to."""
        super().__init__(py_func)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _CheckedFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file may raise
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:  # such as a full disk
            self.disable()

    def _forget(self) -> None:
        """Empties the index, so that the next process finds what this one compiles."""
        try:
            self.flush()
        except OSError:
            self.disable()


def _decorator(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        if cache_folder() is not None:  # else it is compiled anew in every process
            dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


compiled = _decorator()
"""Compiles a function, without the interpreter's lock, cached on disk."""
compiled_exact = _decorator(error_model="numpy")
"""The same, where dividing by zero gives infinity."""
compiled_fast = _decorator(fastmath=_FAST, error_model="numpy")
"""The same for the renderer: sums may be reordered, and dividing by zero gives infinity."""
compiled_inline = _decorator(fastmath=_FAST, error_model="numpy", inline="always")
"""The same, copied into its callers, for small functions of the innermost loop."""
