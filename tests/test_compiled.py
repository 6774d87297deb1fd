"""Compiled functions: where they are cached, and that damage to the cache costs only time."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverie.model import compiled as module


def twice(x: int) -> int:
    return 2 * x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    return tmp_path


def hits() -> int:
    """How many functions a new dispatcher, as in a new process, finds in the cache; it is right in any case."""
    dispatcher: Any = module.compiled(twice)
    assert dispatcher(21) == 42
    return sum(dispatcher.stats.cache_hits.values())


def test_a_function_is_compiled_once(folder: Path) -> None:
    assert [hits(), hits()] == [0, 1]
    assert sorted(path.suffix for path in folder.iterdir()) == [".nbc", ".nbi"]


def test_a_change_to_any_source_beside_it_compiles_it_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(module, "_sources_digest", lambda folder: "another")
    assert [hits(), hits()] == [0, 1]


def middle_turned(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def forbidden(path: Path) -> None:
    path.chmod(0)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("not a cache\n" * 20),
    "a byte turned": middle_turned,
    "another pickle": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "something after it": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "forbidden": forbidden,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_mended(folder: Path, name: str, suffix: str) -> None:
    assert [hits(), hits()] == [0, 1]
    (path,) = folder.glob(f"*{suffix}")
    DAMAGE[name](path)
    assert hits() in (0, 1)  # what does no harm may be read
    assert hits() == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_cache_that_cannot_be_mended_is_none(folder: Path, suffix: str) -> None:
    assert [hits(), hits()] == [0, 1]
    (path,) = folder.glob(f"*{suffix}")
    a_folder(path)
    assert [hits(), hits()] == [0, 0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_cache_that_cannot_be_written_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module._CheckedFile, "_open_for_write", refuse)
    assert [hits(), hits()] == [0, 0]


def test_without_any_folder_functions_are_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: None)
    assert [hits(), hits()] == [0, 0]


def test_the_first_folder_that_can_be_written_to_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beside = Path(module.__file__).parent / "__pycache__"
    places = {"asked": tmp_path / "asked", "users": tmp_path / "users", "own": tmp_path / "own"}
    monkeypatch.setattr(module._SETTINGS, "CACHE_DIR", str(places["asked"]))
    monkeypatch.setattr(module, "user_cache", lambda: places["users"])
    monkeypatch.setattr(module, "private_folder", lambda name: places["own"])
    refused: set[Path] = set()
    monkeypatch.setattr(module, "_writable", lambda path: not any(path.is_relative_to(one) for one in refused))
    for place in (places["asked"], beside, places["users"], places["own"]):
        module.cache_folder.cache_clear()
        found = module.cache_folder()
        assert found is not None and found.is_relative_to(place)
        refused.add(place)
    module.cache_folder.cache_clear()
    assert module.cache_folder() is None
    refused.clear()
    refused |= {places["asked"], beside}
    monkeypatch.setattr(module, "user_cache", lambda: None)
    monkeypatch.setattr(module, "private_folder", lambda name: None)
    module.cache_folder.cache_clear()
    assert module.cache_folder() is None
    module.cache_folder.cache_clear()


PLAY_VOXEL = ["play", "--world", "voxel", "--headless", "--frames", "1"]
RECORD = ["record", "--out", "x", "--episodes", "1", "--ticks", "1"]
PLAY_DREAM = ["play", "--headless", "--frames", "1", "--device", "cpu"]


def uncompiled(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`reverie ARGUMENTS` with Numba's compiler off."""
    command = [sys.executable, "-m", "reverie.demos.cli", *arguments]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [PLAY_VOXEL, RECORD, PLAY_DREAM])
def test_without_the_compiler_worlds_say_so_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    done = uncompiled(arguments, tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "NUMBA_DISABLE_JIT" in done.stderr
    assert not list(tmp_path.iterdir())
