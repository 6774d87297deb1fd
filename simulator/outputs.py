"""Looks at where results are to go before any work is done for them.

Nothing is written or made here: a path that passes may still fail later, such as on a full disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from reverie.simulator.errors import OutputError

AnyPath = str | os.PathLike[str]
WRITTEN_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def _named(path: AnyPath) -> Path:
    """The path, if files can have such a name. Raises OutputError."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except OSError as error:  # longer than the file system takes, a ring of links
        raise OutputError(f"{path}: cannot be written ({(error.strerror or 'a name of no file').lower()})") from error
    except ValueError as error:
        raise OutputError(f"{os.fspath(path)!r}: cannot be written (a name of no file)") from error
    return Path(path)


def writable_folder(path: AnyPath) -> None:
    """Raises OutputError unless `path` is a folder that can be written to, or can be made."""
    path = _named(path)
    if path.is_symlink() and not path.exists():
        raise OutputError(f"{path}: is a link to what is not there; name a folder")
    for place in (path, *path.absolute().parents):
        if not place.exists():
            continue
        if not place.is_dir():
            raise OutputError(f"{path}: {'' if place == path else f'{place} '}is a file, not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f"{path}: {'' if place == path else f'{place} '}is a folder that cannot be written to")
        return


def writable_file(path: AnyPath) -> None:
    """Raises OutputError unless `path` is a file that can be written, or can be made with the folders above it."""
    path = _named(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    writable_folder(path.absolute().parent)
    if path.exists() and not path.is_file():  # a pipe that nobody reads would be waited for
        raise OutputError(f"{path}: is a pipe or a device; name a file")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path}: cannot be written")


def writable_picture(path: AnyPath) -> None:
    """`writable_file`, for what is written as a picture. Raises OutputError, also for a suffix of no picture."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN_PICTURES:
        raise OutputError(f"{path}: pictures are written as one of {', '.join(WRITTEN_PICTURES)}, not {suffix!r}")
    writable_file(path)


def apart(outputs: Iterable[AnyPath], inputs: Mapping[AnyPath, str]) -> None:
    """Raises OutputError where writing one of `outputs` would change one of `inputs`, of which it tells the use.

    Files are the same under other names too: relative, through links of both kinds, in capitals where the disk does not
    tell them from small letters.
    """
    for output in map(Path, outputs):
        for path, use in inputs.items():
            if _same(output, Path(path)):
                name = "" if os.fspath(path) == os.fspath(output) else f" ({path})"
                raise OutputError(f"{output}: is {use}{name}, which would be overwritten; choose another name")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()
