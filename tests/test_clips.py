"""Recordings: what is written is read back, real VPT files are read with their traps, and damage gives one error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reverie.simulator import Action, Clip
from reverie.simulator.action import BUTTONS
from reverie.simulator.clips import ClipWriter, clip_paths
from reverie.simulator.errors import ClipError

SIZE = (32, 48)


def frames(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth pictures that tell their number by their brightness: uint8 [count, h, w, 3]."""
    level = np.linspace(20, 220, count)[:, None, None, None]
    return np.rint(level + np.linspace(-15, 15, size[1])[:, None] * np.ones((*size, 3))).astype(np.uint8)


def actions(count: int) -> list[Action]:
    rng = np.random.default_rng(5)
    return [
        Action(
            **{name: bool(rng.random() < 0.3) for name in BUTTONS},
            hotbar=int(rng.integers(0, 10)),
            camera=(float(rng.normal(0, 3)), float(rng.normal(0, 30))),
        )
        for _ in range(count)
    ]


def line(**changes: object) -> dict:
    """A tick as VPT's recorder writes it."""
    record = {
        "mouse": {"x": 640.0, "y": 360.0, "dx": 0.0, "dy": 0.0, "scaledX": 0.0, "dwheel": 0.0, "buttons": [],
                  "newButtons": []},
        "keyboard": {"keys": [], "newKeys": [], "chars": ""},
        "isGuiOpen": False, "hotbar": 0, "yaw": 10.0, "pitch": 5.0, "xpos": 1.0, "ypos": 64.0, "zpos": -3.0,
        "tick": 0, "milli": 1, "inventory": [], "serverTick": 1, "stats": {},
    }  # fmt: skip
    mouse = changes.pop("mouse", {})
    record["mouse"] |= mouse
    keys = changes.pop("keys", None)
    if keys is not None:
        record["keyboard"]["keys"] = keys
    return record | changes


def make(path: Path, lines: list, count: int | None = None) -> Path:
    """A recording with these lines in place of its own."""
    with ClipWriter(path, SIZE) as writer:
        for frame in frames(count or len(lines)):
            writer.write(frame, Action())
    text = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    path.with_suffix(".jsonl").write_text("\n".join(text) + "\n")
    return path


def test_round_trip(tmp_path):
    pictures, done = frames(30), actions(30)
    poses = np.random.default_rng(0).normal(0, 100, (30, 5)).astype(np.float32)
    slots = [k % 9 for k in range(30)]
    events = [[{"type": "dig"}, {"type": "edit", "cells": [[1, 2, 3]]}] if k % 7 == 3 else [] for k in range(30)]
    with ClipWriter(tmp_path / "new" / "walk", SIZE) as writer:
        for k in range(30):
            writer.write(pictures[k], done[k], pose=poses[k], hotbar=slots[k], events=events[k])
    clip = Clip.load(tmp_path / "new" / "walk.mp4")
    assert len(clip) == 30
    assert np.abs(clip.frames.astype(int) - pictures).max() <= 12
    for ours, theirs in zip(clip.actions, done):
        assert np.allclose(ours.camera, theirs.camera, rtol=0, atol=1e-9)
        assert ours.to_dict() | {"camera": 0} == theirs.to_dict() | {"camera": 0}
    assert np.array_equal(clip.poses, poses)
    assert clip.hotbar.tolist() == slots
    assert clip.events == events
    assert clip.ticks.tolist() == list(range(30))


def test_lossless_keeps_every_bit(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (12, *SIZE, 3), np.uint8)
    clip = Clip(noise, actions(12))
    clip.save(tmp_path / "a.mp4", lossless=True)
    again = Clip.load(tmp_path / "a")
    assert np.array_equal(again.frames, noise)
    assert again.poses is None


def test_slot_follows_from_the_presses(tmp_path):
    with ClipWriter(tmp_path / "a", SIZE) as writer:
        for frame, press in zip(frames(5), (0, 3, 0, 9, 0)):
            writer.write(frame, Action(hotbar=press))
    clip = Clip.load(tmp_path / "a")
    assert clip.hotbar.tolist() == [0, 0, 2, 2, 8]
    assert [action.hotbar for action in clip.actions] == [0, 3, 0, 9, 0]


def test_a_range_and_another_size(tmp_path):
    pictures = frames(40)
    Clip(pictures, actions(40)).save(tmp_path / "a")
    part = Clip.load(tmp_path / "a", start=10, length=5, size=(16, 24))
    assert part.frames.shape == (5, 16, 24, 3)
    assert part.ticks.tolist() == [10, 11, 12, 13, 14]
    assert part.actions == Clip.load(tmp_path / "a").actions[10:15]
    smaller = pictures[10:15].reshape(5, 16, 2, 24, 2, 3).mean((2, 4))
    assert np.abs(part.frames - smaller).max() <= 12
    with pytest.raises(ClipError, match="none to read"):
        Clip.load(tmp_path / "a", start=40)
    with pytest.raises(ClipError):
        Clip.load(tmp_path / "a", start=-1)


def test_vpt_attack_stuck_at_the_start_is_ignored(tmp_path):
    down = {"buttons": [0], "newButtons": []}
    lines = [line(mouse={"buttons": [0, 1], "newButtons": [0]}), line(mouse=down), line(mouse=down)]
    pressed = [*lines, line(mouse={"buttons": [0], "newButtons": [0]}), line(mouse=down)]
    clip = Clip.load(make(tmp_path / "pressed.mp4", pressed))
    assert [action.attack for action in clip.actions] == [False, False, False, True, True]
    assert clip.actions[0].use
    released = [*lines, line(), line(mouse=down)]
    clip = Clip.load(make(tmp_path / "released.mp4", released))
    assert [action.attack for action in clip.actions] == [False] * 4 + [True]
    fine = [line(mouse=down | {"newButtons": []}), line(mouse=down)]
    assert all(action.attack for action in Clip.load(make(tmp_path / "fine.mp4", fine)).actions)


def test_vpt_slot_menus_and_mouse(tmp_path):
    lines = [
        line(hotbar=0, mouse={"dx": 10.5, "dy": -4.0}, keys=["key.keyboard.w", "key.keyboard.left.control"]),
        line(hotbar=0, keys=["key.keyboard.5"]),
        line(hotbar=4, isGuiOpen=True, keys=["key.keyboard.e"]),
        line(hotbar=4, isGuiOpen=True),
        line(hotbar=4, mouse={"dx": 99999.0}, keys=["key.keyboard.q", "key.keyboard.unknown", "key.mouse.4"]),
        line(hotbar=8),
    ]
    path = make(tmp_path / "a.mp4", lines)
    clip = Clip.load(path)
    assert clip.ticks.tolist() == [0, 1, 4, 5]
    assert [action.hotbar for action in clip.actions] == [0, 5, 9, 0]
    assert clip.actions[0] == Action(forward=True, sprint=True, camera=(-4.0 * 0.15, 10.5 * 0.15))
    assert clip.actions[2].drop and clip.actions[2].camera == (0.0, 0.0)
    assert clip.poses[0].tolist() == [1.0, 64.0, -3.0, 10.0, 5.0]
    levels = clip.frames.mean((1, 2, 3))
    assert np.abs(levels - frames(6).mean((1, 2, 3))[[0, 1, 4, 5]]).max() < 6
    assert Clip.load(path, keep_menus=True).actions[2].inventory
    assert Clip.load(path, degrees_per_pixel=0.3).actions[0].camera == (-1.2, 10.5 * 0.3)


def test_missing_extras_are_fine(tmp_path):
    bare = {"mouse": {"dx": 1, "dy": 0, "buttons": [1]}, "keyboard": {"keys": []}}
    clip = Clip.load(make(tmp_path / "a.mp4", [bare] * 3))
    assert clip.poses is None and clip.hotbar is None and clip.actions[0].use


@pytest.mark.parametrize(
    "bad",
    [
        "null", "[]", "{", "\x00\x00", "\xff", '{"mouse": 1}', "[" * 100000, "1e999",
        line(mouse={"dx": float("nan")}), line(mouse={"dx": None}), line(mouse={"dx": "5"}),
        line(mouse={"dx": 10**400}), line(mouse={"buttons": "left"}), line(mouse={"buttons": [None]}),
        line(mouse={"newButtons": 3}), line(keys=[1]), line(keys="w"), line(keyboard=None), line(hotbar=9),
        line(hotbar="1"), line(xpos=float("inf")), line(xpos="here"), line(events="none"), line(events=[1]),
        {"keyboard": {"keys": []}}, {"mouse": {"buttons": []}, "keyboard": {"keys": []}},
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path, bad):
    path = make(tmp_path / "a.mp4", [line(), line(), bad, line()])
    with pytest.raises(ClipError, match=r"a\.jsonl, line 3: ") as caught:
        Clip.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_endless_line_is_refused(tmp_path):
    path = make(tmp_path / "a.mp4", [line(), "x" * (1 << 20)])
    with pytest.raises(ClipError, match="line 2: too long"):
        Clip.load(path)


def test_torn_tails_are_left_out_with_a_warning(tmp_path):
    path = make(tmp_path / "a.mp4", [line()] * 6)
    text = path.with_suffix(".jsonl")
    text.write_bytes(text.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="cut off|jsonl ends first"):
        assert len(Clip.load(path)) == 5
    path = make(tmp_path / "b.mp4", [line()] * 9, count=6)
    with pytest.warns(UserWarning, match="mp4 ends first"):
        assert len(Clip.load(path)) == 6


@pytest.mark.parametrize("content", [b"", b"not a video", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n", None])
def test_broken_videos(tmp_path, content):
    path = make(tmp_path / "a.mp4", [line()] * 3)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ClipError, match=r"a\.mp4"):
        Clip.load(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damaged_videos_never_raise_anything_else(tmp_path):
    path = make(tmp_path / "a.mp4", [line()] * 40)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            Clip.load(path)
        except ClipError as error:
            assert "\n" not in str(error)


def test_huge_frames_are_refused(tmp_path, monkeypatch):
    from reverie.simulator import video

    path = make(tmp_path / "a.mp4", [line()] * 10)
    monkeypatch.setattr(video, "MAX_BYTES", 1000)
    with pytest.raises(ClipError, match="too long to read at once"):
        Clip.load(path)
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 100)
    with pytest.raises(ClipError, match="48 x 32"):
        Clip.load(path)


CUT_OFF = """
import os, sys
sys.path.insert(0, {tests!r})
from test_clips import *
if {limit}:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
writer = ClipWriter({path!r}, SIZE)
noise = np.random.default_rng(1).integers(0, 256, (200, *SIZE, 3), np.uint8)
try:
    for frame in noise:
        writer.write(frame, Action(forward=True))
except ClipError as error:
    print(error)
os._exit(0)
"""


@pytest.mark.parametrize("limit", [0, 60_000, 100])
def test_what_was_written_before_a_crash_or_a_full_disk_is_safe(tmp_path, limit, request):
    """Limit 0: the process dies unexpectedly; otherwise no file may grow beyond the limit, as on a full disk."""
    code = CUT_OFF.format(tests=str(request.path.parent), path=str(tmp_path / "a.mp4"), limit=limit)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    if limit == 0:
        with pytest.warns(UserWarning, match="mp4 ends first"):
            assert len(Clip.load(tmp_path / "a")) >= 180
        return
    assert "frames are safe" in told and "Traceback" not in told
    safe = int(told.split()[-4])
    if limit == 100:
        assert safe == 0
        return
    assert safe > 5
    with pytest.warns(UserWarning):
        clip = Clip.load(tmp_path / "a")
    assert len(clip) == safe and all(action.forward for action in clip.actions)


def test_writer_refusals(tmp_path):
    with pytest.raises(ClipError, match="odd"):
        ClipWriter(tmp_path / "a", (33, 48))
    (tmp_path / "file").write_text("")
    with pytest.raises(ClipError, match="cannot be written"):
        ClipWriter(tmp_path / "file" / "a", SIZE)
    with ClipWriter(tmp_path / "a", SIZE) as writer:
        writer.write(frames(2)[0], Action())
        with pytest.raises(ClipError, match="not that of the recording"):
            writer.write(frames(2, (16, 16))[0], Action())
        with pytest.raises(ClipError, match="JSON"):
            writer.write(frames(2)[0], Action(), events=[{"type": {1, 2}}])
    writer.close()
    with pytest.raises(ClipError, match="closed"):
        writer.write(frames(2)[0], Action())
    with pytest.raises(ClipError, match="not overwritten"):
        ClipWriter(tmp_path / "a", SIZE, overwrite=False)
    assert len(Clip.load(tmp_path / "a")) == 1


def test_paths(tmp_path):
    assert clip_paths("x/a.b") == (Path("x/a.b.mp4"), Path("x/a.b.jsonl"))
    assert clip_paths("x/a.jsonl") == (Path("x/a.mp4"), Path("x/a.jsonl"))


def test_luanti_events_and_hotbar(tmp_path):
    """Lines of the Luanti recordings: `node_events` and no `newButtons`."""
    bare = {"mouse": {"dx": 0.0, "dy": 0.0, "buttons": [0]}, "keyboard": {"keys": []}, "hotbar": 2, "tick": 0}
    dig = bare | {"hotbar": 5, "node_events": [{"type": "dig", "pos": [1, 2, 3], "node": "default:stone"}]}
    clip = Clip.load(make(tmp_path / "a.mp4", [bare, dig]))
    assert [action.hotbar for action in clip.actions] == [6, 0]
    assert all(action.attack for action in clip.actions)
    assert clip.events[1][0]["type"] == "dig"
