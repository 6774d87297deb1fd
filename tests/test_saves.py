"""Saves: exact, atomic, and harmless whoever made the file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from fake_world import FakeWorld

from reverie.simulator import Action, Simulator, saves
from reverie.simulator.errors import SaveError
from reverie.simulator.saves import ARRAYS_NAME, META_NAME


@pytest.fixture
def saved(tmp_path) -> Path:
    session = Simulator(FakeWorld(), seed=5)
    for turn in range(10):
        session.step(Action(forward=True, camera=(0.0, float(turn))))
    session.save(tmp_path / "a.reverie")
    return tmp_path / "a.reverie"


def parts(path: Path) -> tuple[dict, bytes]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(META_NAME)), archive.read(ARRAYS_NAME)


def rewrite(path: Path, meta: object, arrays: bytes, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(META_NAME, meta if isinstance(meta, (bytes, str)) else json.dumps(meta))
        archive.writestr(ARRAYS_NAME, arrays)
        for name, data in more.items():
            archive.writestr(name, data)
    return path


def refused(path: Path, match: str, world: FakeWorld | None = None) -> None:
    with pytest.raises(SaveError, match=match) as caught:
        Simulator.open(path, world=world or FakeWorld())
    assert "\n" not in str(caught.value)


def test_opened_save_has_the_same_future(saved):
    session = Simulator(FakeWorld(), seed=5)
    for turn in range(10):
        session.step(Action(forward=True, camera=(0.0, float(turn))))
    opened = Simulator.open(saved, world=FakeWorld())
    assert (opened.tick, opened.history) == (10, range(10, 11))
    for turn in range(100):
        action = Action(jump=turn % 3 == 0, camera=(1.0, turn / 7))
        assert np.array_equal(opened.step(action), session.step(action))


def test_save_replaces_whole_or_not_at_all(saved, monkeypatch):
    before = saved.read_bytes()
    session = Simulator(FakeWorld(), seed=6)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saves.os, "fsync", full)
        with pytest.raises(SaveError, match="No space left"):
            session.save(saved)
    assert saved.read_bytes() == before
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]
    session.save(saved)
    assert Simulator.open(saved, world=FakeWorld()).tick == 0
    with pytest.raises(SaveError, match="cannot be saved"):
        session.save(saved.parent / "nowhere" / "a.reverie")


def test_another_world_is_refused(saved):
    refused(saved, "flavour is 'plain', not 'sour'", FakeWorld(flavour="sour"))
    refused(saved, "size", FakeWorld(size=(16, 16)))


def test_fingerprints_count_more_than_names():
    dream = {"world": "dream", "model": "tiny", "fingerprint": "ab", "size": [96, 160]}
    saves.check_same_world(dream, dream | {"model": "/somewhere/else", "size": (96, 160), "device": "cuda"}, "x")
    for change in ({"fingerprint": "cd"}, {"size": [96, 96]}, {"fingerprint": ""}, {"world": "voxel"}):
        with pytest.raises(SaveError, match="another world"):
            saves.check_same_world(dream, dream | {"model": "base"} | change, "x")


def test_unknown_worlds_are_not_opened(saved):
    with pytest.raises(SaveError, match="unknown kind of world, 'fake'"):
        Simulator.open(saved)


@pytest.mark.parametrize("name", ["../../etc", "/tmp", "https://example.org/m", ".", "", None, 3, ["tiny"], {}])
def test_a_save_cannot_name_a_folder_to_load_from(name, tmp_path):
    with pytest.raises(SaveError, match="not bundled"):
        saves.open_world({"world": "dream", "model": name})


def test_a_folder_with_a_config_is_not_taken_for_a_model(tmp_path, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaveError, match="not bundled"):
        saves.open_world({"world": "dream", "model": "evil"})


@pytest.mark.parametrize("size", [None, 96, [96], [96, "160"], [-16, 16], [1 << 20, 16], [True, 16], [17, 16], {}])
def test_bad_sizes_of_voxel_worlds(size):
    with pytest.raises(SaveError):
        saves.open_world({"world": "voxel", "size": size})


def test_damaged_files(saved):
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole[: int(rng.integers(0, len(whole) + 1))])
        for place in rng.integers(0, max(len(damaged), 1), 4):
            if len(damaged):
                damaged[place] = int(rng.integers(256))
        saved.write_bytes(damaged)
        try:
            Simulator.open(saved, world=FakeWorld())
        except SaveError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"\x80\x04\x95" * 100])
def test_foreign_files(tmp_path, content):
    (tmp_path / "a.reverie").write_bytes(content)
    refused(tmp_path / "a.reverie", "damaged or not a save")
    refused(tmp_path / "none.reverie", "no such file")
    refused(tmp_path, "damaged or not a save")


def test_unexpected_members(saved):
    meta, arrays = parts(saved)
    refused(rewrite(saved, meta, arrays, **{"../../evil.py": b"print()"}), "does not hold just")
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr(META_NAME, json.dumps(meta))
    refused(saved, "does not hold just")
    with pytest.warns(UserWarning), zipfile.ZipFile(saved, "w") as archive:
        for name in (META_NAME, META_NAME, ARRAYS_NAME):
            archive.writestr(name, "{}")
    refused(saved, "does not hold just")


def test_zip_bombs(saved, monkeypatch):
    meta, _ = parts(saved)
    monkeypatch.setattr(saves, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(saves, "MAX_META_BYTES", 1 << 16)
    refused(rewrite(saved, meta, bytes(50 << 20)), f"{ARRAYS_NAME} unpacks to over 1 MiB")
    refused(rewrite(saved, b" " * (5 << 20), b""), META_NAME)
    saved.write_bytes(bytes(2 << 20))
    refused(saved, "too large")


@pytest.mark.parametrize(
    ("meta", "match"),
    [
        (b"{", "damaged"), (b"[" * 200_000, "damaged"), (b"\xff\xfe", "damaged"),
        ([], "not a save"), ({}, "not a save"),
        ({"format": "reverie-save", "version": 2}, "version 2"), ({"format": "reverie-save", "version": 1}, "lacks"),
        ({"format": "reverie-save", "version": 1, "world": [], "state": {}}, "lacks"),
    ],
)  # fmt: skip
def test_bad_meta(saved, meta, match):
    refused(rewrite(saved, meta, parts(saved)[1]), match)


def test_states_that_make_no_sense(saved):
    meta, arrays = parts(saved)
    tensors = safetensors.numpy.load(arrays)
    for state in ({}, {"tick": "one", "random": 1}, {"tick": None, "random": []}, {"tick": 1e400, "random": 1}):
        text = json.dumps(meta | {"state": state})
        refused(rewrite(saved, text, arrays), "makes no sense")
    refused(rewrite(saved, meta, safetensors.numpy.save({})), "makes no sense")
    wrong = safetensors.numpy.save({"canvas": tensors["canvas"][:5]})
    refused(rewrite(saved, meta, wrong), "another size")
    for packed in (b"", b"\xff" * 64, arrays[:-8], arrays + b"more", pickled()):
        refused(rewrite(saved, meta, packed), f"{ARRAYS_NAME} is damaged")


def pickled() -> bytes:
    """An array file that would need pickle to be read."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def test_encrypted_or_oddly_packed_members(saved):
    data = bytearray(saved.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 99)):  # general flags: encrypted; an unknown compression
        broken = bytearray(data)
        broken[place + offset] = value
        saved.write_bytes(broken)
        refused(saved, "damaged or not a save")


def test_voxel_saves_open_by_themselves(tmp_path):
    from reverie.simulator import VoxelWorld

    session = Simulator(VoxelWorld(size=(32, 48)), seed=21)
    for _ in range(5):
        session.step(Action(forward=True))
    session.save(tmp_path / "a.reverie")
    opened = Simulator.open(tmp_path / "a.reverie")
    assert opened.world.size == (32, 48)
    assert np.array_equal(opened.step(Action(jump=True)), session.step(Action(jump=True)))
    refused(tmp_path / "a.reverie", "is of another world")
