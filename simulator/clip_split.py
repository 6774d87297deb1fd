"""Which recordings are kept from training: whole map seeds, by their hash, so that everybody chooses the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from reverie.simulator.clip_names import recordings
from reverie.simulator.errors import ClipError

__all__ = ["group_of", "groups_of", "held_out", "recordings", "seed_of"]

SEED_IN_NAME = re.compile(r"(?:^|-)s(\d+)(?:-|$)")


def seed_of(path: Path) -> int | None:
    """The map seed in a recording's name, as in `luanti-s100006-000-0` or `voxel-s40-explorer`; None without one."""
    found = SEED_IN_NAME.search(path.stem)
    return int(found[1]) if found else None


def group_of(path: Path) -> str:
    """What must not be split: all recordings of a seed, or a recording that names none."""
    seed = seed_of(path)
    return path.stem if seed is None else f"s{seed}"


def groups_of(paths: Iterable[Path]) -> dict[Path, str]:
    """The group of each recording (`group_of`); where all are of one seed, each is a group."""
    named = {path: group_of(path) for path in paths}
    return named if len(set(named.values())) > 1 else {path: path.stem for path in named}


def held_out(paths: Iterable[Path], share: float) -> set[Path]:
    """The recordings of about `share` of all groups, at least one group of two or more; none for a share of 0.

    Groups (`groups_of`) are ordered by the SHA-256 of their names and the first are held out. Raises ClipError for a
    share that is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ClipError(f"cannot hold out a share of {share} of the recordings; it must be from 0 to below 1")
    named = groups_of(paths)
    groups = sorted(set(named.values()), key=lambda name: hashlib.sha256(name.encode()).digest())
    count = min(max(1, round(share * len(groups))), len(groups) - 1) if share else 0
    chosen = set(groups[: max(0, count)])
    return {path for path, group in named.items() if group in chosen}
