"""Start scenes: names, pictures and clips, and what is said about those that do not exist."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_film import SIZE as FILM_SIZE
from fake_film import line, number_of_action, numbered, numbers_of, recording, write_film, write_lines
from PIL import Image

from reverie.simulator import Action, Clip, clip_lines, scenes, video
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
    with pytest.raises(SceneError, match="no such file"):
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


# Scenes that are no scenes, and the way on


@pytest.mark.parametrize("suffix", [".mp4", ".MP4", ".mov", ".mkv", ".webm", ".m4v"])
def test_a_film_without_lines_is_told_what_it_lacks(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(b"whatever is in it")
    for names in (None, ("forest",)):
        with pytest.raises(SceneError, match=r"no x\.jsonl beside it.*save that as a picture"):
            resolve_scene(tmp_path / f"x{suffix}", SIZE, names)
    write_lines(tmp_path / "y.jsonl", [line(0)])
    with pytest.raises(SceneError, match=r"y\.jsonl: is lines without a film: there is no y\.mp4 beside it"):
        resolve_scene(tmp_path / "y.jsonl", SIZE)
    with pytest.raises(SceneError, match=r"none\.jsonl: no such files"):
        resolve_scene(tmp_path / f"none{suffix}", SIZE)


@pytest.mark.parametrize("suffix", [".avi", ".AVI", ".wmv", ".flv", ".mpg", ".ts", ".ogv", ".3gp"])
def test_films_that_are_not_read_are_told_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    with pytest.raises(SceneError, match="no such file"):
        resolve_scene(path, SIZE, ("forest",))
    path.write_bytes(b"")
    with pytest.raises(SceneError, match=r"not read; convert it to mp4, and put .* x\.jsonl, beside it"):
        resolve_scene(path, SIZE, ("forest",))


def test_a_film_in_a_container_that_its_name_hides_is_told_apart(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", numbered(range(3)), kind="avi", codec="mpeg4", options={})
    write_lines(tmp_path / "a.jsonl", [line(k) for k in range(3)])
    with pytest.raises(SceneError, match="is a film in AVI; convert it to mp4"):
        resolve_scene(tmp_path / "a.mp4", SIZE)


@pytest.mark.parametrize("suffix", [".avif", ".svg", ".HEIC", ".jxl", ".psd", ".ico", ".pdf"])
def test_pictures_that_are_not_read_are_unsupported_not_unknown(tmp_path: Path, suffix: str) -> None:
    for names in (None, ("forest",)):
        with pytest.raises(SceneError, match="not supported; save it as PNG or JPEG") as told:
            resolve_scene(tmp_path / f"x{suffix}", SIZE, names)
        assert "unknown" not in str(told.value)


def test_files_and_folders_are_not_taken_for_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("x")
    Path("photo").write_bytes(b"x")
    Path("forest").mkdir()
    for name, words in {
        "notes.txt": "does not say what it is",
        "photo": "does not say",
        str(tmp_path): "folder",
        os.devnull: "neither a picture nor a recording",
        "nowhere.txt": "no such file",
        "below/nowhere": "no such file",
        "https://example.com/a.png": "is an address",
        "file:///a.mp4": "is an address",
    }.items():
        with pytest.raises(SceneError, match=words):
            resolve_scene(name, SIZE, ("forest", "desert"))
    assert resolve_scene("forest", SIZE, ("forest",)).name == "forest"
    assert resolve_scene("forest", SIZE).name == "forest"  # the world may know it


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"", "it is empty"), ("a.png", b"<svg/>", "it is none of PNG, JPEG"),
        ("a.tif", np.full((4, 4), 7.5, np.float32), "floats must stay within 0 to 1"),
        ("a.png", np.zeros((1, 40000, 3), np.uint8), "and 32768 a side"), ("a.png", None, "Is a directory"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_read_are_named_with_the_cause(
    tmp_path: Path, name: str, content: object, words: str
) -> None:
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        Image.fromarray(content).save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.mkdir()
    with pytest.raises(SceneError, match=words) as told:
        resolve_scene(path, SIZE)
    assert str(told.value).startswith(f"{path}: ") and "\n" not in str(told.value)


@pytest.mark.parametrize("suffix", [".jfif", ".JPE"])
def test_browsers_names_of_jpeg_are_read(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(np.full((64, 96, 3), 200, np.uint8)).save(tmp_path / f"a{suffix}", "JPEG")
    assert resolve_scene(tmp_path / f"a{suffix}", SIZE).image.mean() > 190


# Recordings


def test_only_the_end_of_a_recording_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lines that are parsed nor the frames that are decoded are more in a longer one."""
    monkeypatch.setattr(scenes, "CLIP_TICKS", 20)
    monkeypatch.setattr(clip_lines, "SCALE_LINES", 50)
    work = {}
    parse, decode = clip_lines.parse_line, video._decode
    for count in (300, 900):
        path = recording(tmp_path, f"long-{count}", count=count, options={"g": "30", "bf": "3", "crf": "20"})
        done = {"lines": 0, "frames": 0}

        def parsed(*rest: bytes, done: dict = done) -> clip_lines.Line:
            done["lines"] += 1
            return parse(*rest)

        def decoded(*rest: object, done: dict = done):
            for picture in decode(*rest):
                done["frames"] += 1
                yield picture

        def surveyed(film: Path) -> None:
            raise AssertionError("all packets were read")

        monkeypatch.setattr(clip_lines, "parse_line", parsed)
        monkeypatch.setattr(video, "_decode", decoded)
        monkeypatch.setattr(video, "survey", surveyed)
        clip = resolve_scene(path, FILM_SIZE).clip
        monkeypatch.undo()
        monkeypatch.setattr(scenes, "CLIP_TICKS", 20)
        monkeypatch.setattr(clip_lines, "SCALE_LINES", 50)
        assert clip.ticks.tolist() == numbers_of(Clip.load(path, count - 20).frames) == list(range(count - 20, count))
        assert [number_of_action(action) for action in clip.actions] == clip.ticks.tolist()
        work[count] = done
    for done in work.values():  # a group of 30 pictures is decoded from its beginning
        assert done["lines"] == 20 + 50 + 1 and done["frames"] <= 20 + 30


def test_a_recording_that_ends_in_a_menu_is_read_from_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "CLIP_TICKS", 10)
    path = recording(tmp_path, count=60)
    write_lines(path.with_suffix(".jsonl"), [line(k, isGuiOpen=k >= 30) for k in range(60)])
    assert resolve_scene(path, FILM_SIZE).clip.ticks[-1] == 29
    write_lines(path.with_suffix(".jsonl"), [line(k, isGuiOpen=True) for k in range(60)])
    with pytest.raises(SceneError, match="nothing but menus"):
        resolve_scene(path, FILM_SIZE)


def test_attack_that_is_stuck_is_stuck_at_the_end_too(tmp_path: Path) -> None:
    path = recording(tmp_path, count=30)
    for freed in (None, 12):
        lines = []
        for k in range(30):
            pressed = [0] if k == 0 or k == freed else []
            lines.append(line(k, mouse={"dx": 0.0, "dy": 0.0, "buttons": [0], "newButtons": pressed}))
        write_lines(path.with_suffix(".jsonl"), lines)
        whole = [action.attack for action in Clip.load(path).actions]
        assert whole == [freed is not None and k >= freed for k in range(30)]
        for start in (1, 11, 12, 13, 29):
            assert [action.attack for action in Clip.load(path, start).actions] == whole[start:]
            assert [action.attack for action in Clip.load_end(path, 30 - start).actions] == whole[start:]


def test_a_tick_of_a_recording_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "CLIP_TICKS", 10)
    path = recording(tmp_path, count=60)
    for tick, first in ((0, 0), (5, 0), (40, 31), (59, 50)):
        clip = resolve_scene(path, FILM_SIZE, tick=tick).clip
        assert clip.ticks.tolist() == numbers_of(clip.frames) == list(range(first, tick + 1))
    with pytest.raises(SceneError, match="no frame 60"):
        resolve_scene(path, FILM_SIZE, tick=60)
    for scene in ("forest", None, np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(SceneError, match="can only be chosen of a recording"):
            resolve_scene(scene, FILM_SIZE, tick=1)
