"""Writes the pages of a report's folder beside the report."""

from __future__ import annotations

import os
from pathlib import Path

from reverie.demos.pages.blind import real_or_dream, which_is_better
from reverie.demos.pages.page import page
from reverie.model.errors import ReverieError
from reverie.simulator.text import printable

PAGE, BLIND = "page.html", "blind.html"


def write_pages(
    folder: str | os.PathLike[str], against: str | os.PathLike[str] | None = None, seed: int = 0
) -> dict[str, str]:
    """Writes page.html and blind.html; the latter asks about the models of two folders where there is another.

    Returns their paths by name. Raises ReverieError.
    """
    place = Path(folder)
    blind = real_or_dream(place, seed) if against is None else which_is_better(place, Path(against), seed)
    return {"page": _written(place / PAGE, page(place)), "blind": _written(place / BLIND, blind)}


def write_comparison(folder: str | os.PathLike[str], seed: int = 0) -> dict[str, str]:
    """Writes both models' pages and, beside them, the blind test between them. Raises ReverieError."""
    place = Path(folder)
    first, second = place / "first", place / "second"
    for one in (first, second):
        write_pages(one, seed=seed)
    return {"blind": _written(place / BLIND, which_is_better(first, second, seed))}


def _written(path: Path, text: str) -> str:
    try:
        path.write_text(printable(text), "utf-8")
    except OSError as error:
        raise ReverieError(f"{path}: cannot be written ({error.strerror})") from error
    return str(path)
