"""Which files are a recording: a film and, beside it, its lines. All who read or write recordings ask here.

A recording is `NAME.mp4` and `NAME.jsonl`. Suffixes may be written in capitals (`NAME.MP4`, as cameras do), and the
film may be in any container of FILM_SUFFIXES. What is written is always an mp4.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reverie.simulator.errors import ClipError

FILM_SUFFIXES: tuple[str, ...] = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""Films that are read. Where several have one name, the first of these is the recording's."""
OTHER_FILM_SUFFIXES = frozenset(
    {".avi", ".wmv", ".asf", ".flv", ".f4v", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".ogv", ".ogm", ".3gp",
     ".3g2", ".rm", ".rmvb", ".gifv", ".mjpeg", ".mxf", ".h264", ".hevc", ".ivf", ".y4m"}
)  # fmt: skip
"""Films that are not."""
LINES_SUFFIX = ".jsonl"
NOT_WRITTEN = frozenset({*FILM_SUFFIXES, *OTHER_FILM_SUFFIXES, ".gif", ".webp", ".apng", ".png", ".jpg", ".jpeg"}) - {
    ".mp4"
}
"""Suffixes that ask for something else than an mp4."""
RESOURCE_FORK = "._"
"""Begins the names of files that macOS leaves beside others on foreign disks."""


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """The files of one name in a folder that make a recording, or fail to."""

    name: Path
    """Their path without a suffix."""
    film: Path | None
    lines: Path | None
    others: tuple[Path, ...] = ()
    """Further films, or lines, of that name: none of them is read."""


def clip_paths(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where a recording is written: NAME, NAME.mp4 or NAME.jsonl -> (NAME.mp4, NAME.jsonl).

    Raises ClipError for a path without a name, and for one that ends like another kind of film or a picture.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.name:
        raise ClipError("a recording needs a name")
    if suffix in NOT_WRITTEN:
        raise ClipError(f"{path}: recordings are written as mp4, not {suffix}; name it {path.with_suffix('.mp4').name}")
    if suffix == ".mp4":
        return path, path.with_suffix(LINES_SUFFIX)
    if suffix == LINES_SUFFIX:
        return path.with_suffix(".mp4"), path
    return path.with_name(path.name + ".mp4"), path.with_name(path.name + LINES_SUFFIX)


def find_clip(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The (film, lines) that are there of the recording NAME, NAME.FILM or NAME.jsonl, suffixes in any case.

    What is not there has the name that it should have. Raises ClipError for a path without a name.
    """
    path = Path(path)
    if not path.name:
        raise ClipError("a recording needs a name")
    suffix = path.suffix.lower()
    if suffix in FILM_SUFFIXES:
        name, films = path.with_suffix(""), (suffix,)
    elif suffix == LINES_SUFFIX:
        name, films = path.with_suffix(""), FILM_SUFFIXES
    else:
        name, films = path, FILM_SUFFIXES
    there = path.exists() and name != path
    film = path if there and suffix in FILM_SUFFIXES else _first(name, films)
    lines = path if there and suffix == LINES_SUFFIX else _first(name, (LINES_SUFFIX,))
    return film or _named(name, films[0]), lines or _named(name, LINES_SUFFIX)


def clip_files(folder: Path) -> list[ClipFiles]:
    """Films, and lines, in `folder` and the folders in it, by name and in its order; one of the two may be missing."""
    films: dict[Path, list[Path]] = {}
    lines: dict[Path, list[Path]] = {}
    for path in folder.rglob("*"):
        suffix = path.suffix.lower()
        kind = films if suffix in FILM_SUFFIXES else lines if suffix == LINES_SUFFIX else None
        if kind is not None and not path.name.startswith(RESOURCE_FORK):
            kind.setdefault(path.with_suffix(""), []).append(path)
    found = []
    for name in sorted({*films, *lines}):
        film, *more = [*_preferred(films.get(name, ()))] or [None]
        text, *further = [*_preferred(lines.get(name, ()))] or [None]
        others = tuple(path for path in (*more, *further) if path is not None)
        found.append(ClipFiles(name, film, text, others))
    return found


def recordings(folder: Path) -> list[Path]:
    """The films in `folder`, and in the folders in it, that have their lines beside them."""
    return [
        files.film
        for files in clip_files(folder)
        if files.film is not None and files.film.is_file() and files.lines is not None and files.lines.is_file()
    ]


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a path ends like a film, of a kind that is read or not."""
    suffix = Path(path).suffix.lower()
    return suffix in FILM_SUFFIXES or suffix in OTHER_FILM_SUFFIXES


def _named(name: Path, suffix: str) -> Path:
    return name.with_name(name.name + suffix)


def _first(name: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The preferred file called `name` and one of `suffixes` in any case; None where there is none."""
    for suffix in suffixes:
        if (path := _named(name, suffix)).exists():
            return path
    try:
        found = [path for path in name.parent.iterdir() if path.suffix.lower() in suffixes]
    except OSError:
        return None
    return next(iter(_preferred(path for path in found if path.with_suffix("") == name)), None)


def _preferred(paths: Iterable[Path]) -> list[Path]:
    """Files of one name, that first which is read: by the order of FILM_SUFFIXES, small letters before capitals."""

    def rank(path: Path) -> tuple[int, bool, str]:
        suffix = path.suffix.lower()
        place = FILM_SUFFIXES.index(suffix) if suffix in FILM_SUFFIXES else 0
        return place, path.suffix != suffix, path.suffix

    return sorted(paths, key=rank)
