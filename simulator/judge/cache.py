"""Reports that have been made before: the same model, settings and code of the judge give the same numbers.

They lie under the user's cache folder (`cache_folder`), one folder for each report with all its files. Anything that
can change a number changes the name: weights, exports, settings, the recordings that are judged by, every source and
weight file of the worlds and of the judge, and the versions of the libraries that compute.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import reverie.model
import reverie.simulator
from reverie.model.errors import ReverieError
from reverie.model.startup import private_folder, user_cache
from reverie.model.weights import BUNDLED, CONFIG, ONNX, STUDENT, TEACHER
from reverie.simulator.clip_names import clip_files

REPORT = "report.json"
NO_HOME = "reverie-cache"
MOST_REPORTS = 24
"""Older ones are thrown away."""
KEY_DIGITS = 24
LIBRARIES = ("numpy", "numba", "torch", "onnxruntime", "onnxruntime-gpu")
COUNTED = (".py", ".safetensors", ".json", ".png")
"""Kinds of files of ours that numbers hang on."""


def cache_folder() -> Path:
    """Where reports are kept: `reverie/evaluate` in what the system uses for caches.

    A user without a home folder has a folder among the temporary files; where that cannot be had either, the one that
    is returned cannot be written to.
    """
    base = user_cache() or private_folder(NO_HOME)
    return (base or Path(os.devnull)) / "reverie" / "evaluate"


def code_version() -> str:
    """A digest of the code that numbers depend on: the model's, the worlds' and the judge's."""
    model, simulator = Path(reverie.model.__path__[0]), Path(reverie.simulator.__path__[0])
    files = [path for path in simulator.rglob("*") if path.suffix in COUNTED]
    return _digest([*files, *model.glob("*.py")])


def model_version(folder: Path) -> str:
    """A digest of everything in a model's folder that is played."""
    return _digest([folder / name for name in (CONFIG, STUDENT, TEACHER, ONNX) if (folder / name).is_file()])


def readers_version() -> str:
    """A digest of the networks that read dreams."""
    return _digest([path for path in BUNDLED.glob("readers*/*") if path.is_file()])


def library_versions() -> dict[str, str]:
    """Of what computes frames."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def recordings_version(folder: str) -> str:
    """A digest of the names, sizes and dates of the recordings in a folder."""
    facts = []
    for files in clip_files(Path(folder)):
        for path in (files.film, files.lines):
            if path is not None and path.is_file():
                name = os.fsencode(path.relative_to(folder))
                facts.append((name, path.stat().st_size, path.stat().st_mtime_ns))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def entry(settings: Mapping[str, Any]) -> Path:
    """The folder of the report that was, or will be, made with these settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return cache_folder() / hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def recall(kept: Path, out: Path) -> dict[str, Any] | None:
    """Copies a kept report's files to `out`; returns the report, or None where there is none (or a damaged one)."""
    try:
        report = json.loads((kept / REPORT).read_text("utf-8"))
        shutil.copytree(kept, out, dirs_exist_ok=True)
        os.utime(kept)
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def remember(kept: Path, out: Path, files: list[Path]) -> None:
    """Keeps `files` below `out`, whole or not at all. A cache that cannot be written is no cache, and no error."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as place:
            whole = Path(place) / "whole"
            for file in files:
                target = whole / file.relative_to(out)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            shutil.rmtree(kept, ignore_errors=True)
            whole.rename(kept)
        _forget_old(kept.parent)
    except OSError:
        return


def _forget_old(folder: Path) -> None:
    kept = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime)
    for path in kept[MOST_REPORTS:]:
        shutil.rmtree(path, ignore_errors=True)


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ReverieError(f"{path}: cannot be read ({error.strerror})") from error
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
