"""Start scenes: names, pictures and clips, and what is said about those that do not exist."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from reverie.simulator import Action, Clip, scenes
from reverie.simulator.errors import SceneError
from reverie.simulator.scenes import Scene, load_scene, resolve_scene, scene_names

SIZE = (32, 48)


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder of bundled scenes: meadow (with a note) and canyon."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, level in (("meadow", 80), ("canyon", 120)):
        Image.new("RGB", (160, 96), (level,) * 3).save(folder / f"{name}.png")
    (folder / "meadow.json").write_text(json.dumps({"pitch": 12.5}))
    monkeypatch.setattr(scenes.resources, "files", lambda package: tmp_path)
    return folder


def test_nothing_and_names():
    assert resolve_scene(None, SIZE).value is None
    assert resolve_scene("forest", SIZE).name == "forest"
    assert resolve_scene("forest", SIZE, ("forest", "desert")).value == "forest"
    with pytest.raises(SceneError, match="did you mean forest"):
        resolve_scene("forrest", SIZE, ("forest", "desert"))
    with pytest.raises(SceneError, match="there are forest, desert"):
        resolve_scene("xyz", SIZE, ("forest", "desert"))
    with pytest.raises(SceneError, match="there are none"):
        resolve_scene("xyz", SIZE, ())


def test_pictures(tmp_path):
    picture = np.full((200, 100, 4), 255, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.PNG")
    for scene in (picture, Image.fromarray(picture), tmp_path / "a.PNG", str(tmp_path / "a.PNG")):
        found = resolve_scene(scene, SIZE)
        assert found.image.shape == (*SIZE, 3) and (found.image == 255).all()
        assert found.pitch is None and found.value is found.image
        assert resolve_scene(found, SIZE) is found
    for bad in (tmp_path / "none.png", np.zeros(3), 5, b"forest"):
        with pytest.raises(SceneError):
            resolve_scene(bad, SIZE)


def test_clips(tmp_path):
    clip = Clip(np.full((4, 64, 96, 3), 90, np.uint8), [Action()] * 4)
    clip.save(tmp_path / "a.mp4")
    for scene in (clip, tmp_path / "a.mp4", str(tmp_path / "a.jsonl")):
        found = resolve_scene(scene, SIZE)
        assert found.clip.frames.shape == (4, *SIZE, 3) and found.value is found.clip
        assert np.abs(found.clip.frames.astype(int) - 90).max() < 4
    assert clip.frames.shape == (4, 64, 96, 3)
    with pytest.raises(SceneError, match=r"none\.jsonl"):
        resolve_scene(tmp_path / "none.mp4", SIZE)
    with pytest.raises(SceneError, match="empty"):
        resolve_scene(Clip(np.zeros((0, 64, 96, 3), np.uint8), []), SIZE)


def test_bundled_scenes(bundled):
    assert scene_names() == ["canyon", "meadow"]
    meadow = load_scene("meadow", SIZE)
    assert meadow.pitch == 12.5 and (meadow.image == 80).all() and meadow.image.shape == (*SIZE, 3)
    assert load_scene("canyon", SIZE).pitch is None
    with pytest.raises(SceneError, match="did you mean meadow"):
        load_scene("medow", SIZE)
    (bundled / "meadow.json").write_text("{}")
    with pytest.raises(SceneError, match="damaged"):
        load_scene("meadow", SIZE)


def test_a_name_is_never_a_path(bundled):
    (bundled.parent / "secret.png").write_bytes(b"")
    with pytest.raises(SceneError, match="unknown"):
        load_scene("../secret", SIZE)


def test_without_bundled_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes.resources, "files", lambda package: tmp_path)
    assert scene_names() == []
    assert Scene().value is None


def test_a_dream_without_a_scene_starts_in_its_own_world() -> None:
    names = scene_names()
    luanti = {name for name in names if scenes.scene_origin(name) == "luanti"}
    assert len(luanti) >= 6 and luanti < set(names)
    voxel = set(names) - luanti
    assert {scenes.choose_scene("tiny", seed) for seed in range(50)} == voxel
    assert {scenes.choose_scene("runs/tiny-luanti", seed) for seed in range(50)} == luanti
    for name in luanti:
        assert load_scene(name, (96, 160)).pitch is not None
