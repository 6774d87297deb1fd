"""Folders of recordings: what is told of them, what is broken in them, and what training makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from reverie.demos import cli
from reverie.model.recall import camera_motion
from reverie.model.training.shards import Shard
from reverie.simulator import Action, Clip, video
from reverie.simulator.clip_alignment import correlate, image_shift, turning_ticks
from reverie.simulator.clip_check import check, examine
from reverie.simulator.clip_split import group_of, held_out, recordings, seed_of
from reverie.simulator.clips import ClipWriter
from reverie.simulator.errors import ClipError
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.shards import clips_to_shards

SIZE = (32, 48)


def line(tick: int, **changes: object) -> dict:
    """A tick of a Luanti recording."""
    return {
        "mouse": {"dx": 0.0, "dy": 0.0, "buttons": []}, "keyboard": {"keys": []}, "hotbar": 0, "tick": tick,
        "xpos": 100.0, "ypos": 8.5, "zpos": -20.0, "yaw": 0.0, "pitch": 0.0, "isGuiOpen": False, "node_events": [],
    } | changes  # fmt: skip


def make(path: Path, lines: list[dict], count: int | None = None, frames: np.ndarray | None = None) -> Path:
    """A recording of these lines, of grey frames unless others are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(lines) if count is None else count
    frames = np.full((count, *SIZE, 3), 99, np.uint8) if frames is None else frames
    with ClipWriter(path, frames.shape[1:3]) as writer:
        for frame in frames:
            writer.write(frame, Action())
    path.with_suffix(".jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def film(path: Path, rate: int, count: int = 20, flags: str = "") -> None:
    """An mp4 whose index stands at its end, as most programs write it, or with `flags` faststart at its beginning."""
    with av.open(str(path), "w", options={"movflags": flags} if flags else {}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for level in range(count):
            frame = np.random.default_rng(level).integers(0, 256, (*SIZE, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def overwrite(path: Path) -> None:
    """Zeros from the middle of a file on, as long as a tenth of it: what a copy that failed may leave behind."""
    whole = bytearray(path.read_bytes())
    middle, length = len(whole) // 2, len(whole) // 10
    whole[middle : middle + length] = bytes(length)
    path.write_bytes(whole)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Two good recordings among many that are not."""
    root = tmp_path / "clips"
    lines = [line(k) for k in range(20)]
    make(root / "luanti-s7-000-0.mp4", lines)
    make(root / "deep" / "luanti-s8-000-0.mp4", lines, count=21)
    whole = make(root / "cut.mp4", lines).read_bytes()
    (root / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    make(root / "no-index.mp4", lines)
    film(root / "no-index.mp4", 20)
    (root / "no-index.mp4").write_bytes((root / "no-index.mp4").read_bytes()[:-300])
    make(root / "short.mp4", lines)
    film(root / "short.mp4", 20, flags="faststart")
    (root / "short.mp4").write_bytes((root / "short.mp4").read_bytes()[:-9000])
    make(root / "few-lines.mp4", lines[:9], count=20)
    make(root / "many-lines.mp4", lines, count=12)
    make(root / "nan.mp4", [*lines[:4], line(4, yaw=float("nan")), *lines[5:]])
    make(root / "nan-mouse.mp4", [*lines[:4], line(4, mouse={"dx": float("nan"), "dy": 0.0}), *lines[5:]])
    for field in ("mouse", "keyboard"):
        bare = {name: value for name, value in line(6).items() if name != field}
        make(root / f"no-{field}.mp4", [*lines[:6], bare, *lines[7:]])
    make(root / "no-turn.mp4", [*lines[:6], line(6, mouse={"dy": 0.0, "buttons": []}), *lines[7:]])
    film(make(root / "zeros.mp4", lines), 20, flags="faststart")
    overwrite(root / "zeros.mp4")
    film(make(root / "rate-10.mp4", lines), 10)
    make(root / "binary.mp4", lines).with_suffix(".jsonl").write_bytes(b"\xff\xfe\x00" * 99)
    make(root / "rate.mp4", lines)
    film(root / "rate.mp4", 30)
    make(root / "empty.mp4", lines).write_bytes(b"")
    make(root / "text.mp4", lines).write_text("this is no film")
    make(root / "no-lines.mp4", lines).with_suffix(".jsonl").write_text("")
    make(root / "no-jsonl.mp4", lines).with_suffix(".jsonl").unlink()
    make(root / "no-mp4.mp4", lines).unlink()
    (root / "index.jsonl").write_text('{"file": "luanti-s7-000-0", "frames": 20}\n')
    return root


def test_each_broken_file_is_named_with_its_reason(damaged: Path, tmp_path: Path, capsys) -> None:
    expected = {
        "cut": "holds no frame",
        "short": "of 20 frames", "no-index": "cannot be read as a video",
        "few-lines": "20 frames, its jsonl 9 lines",
        "many-lines": "12 frames, its jsonl 20 lines", "nan": "line 5: yaw is not a finite number",
        "no-mouse": "line 7: has no 'mouse'", "nan-mouse": "line 5: mouse.dx is not a finite number",
        "no-keyboard": "line 7: has no 'keyboard'", "no-turn": "mouse has no 'dx'",
        "zeros": "damaged after", "rate-10": "10 frames a second", "binary": "holds no whole line",
        "rate": "30 frames a second", "empty": "is empty", "text": "cannot be read as a video", "no-lines": "is empty",
        "no-jsonl": "is missing", "no-mp4": "is missing",
    }  # fmt: skip
    assert cli.main(["clips", "check", str(damaged), "--json", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out.splitlines()[-1])
    reasons = {entry["file"]: entry["reason"] for entry in report["broken"]}
    assert reasons.keys() == expected.keys()
    for name, words in expected.items():
        assert words in reasons[name], (name, reasons[name])
        assert f"broken: {name}: " in err
    assert (report["episodes"], report["frames"], report["seed_list"]) == (2, 40, [7, 8])
    assert report["sizes"] == {"48x32": 2} and report["frame_rates"] == {"20": 2}
    assert any("luanti-s8-000-0.mp4: 21 frames and 20 lines" in note for note in report["notes"])
    assert json.loads((tmp_path / "out" / "report.json").read_text())["frames"] == 40
    assert (tmp_path / "out" / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_use_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="is no folder"):
        check(tmp_path / "none")
    with pytest.raises(ClipError, match="holds no recording"):
        check(tmp_path)
    make(tmp_path / "a.mp4", [line(0)]).write_bytes(b"x")
    with pytest.raises(ClipError, match="a: cannot be read as a video"):
        check(tmp_path)


def test_what_is_left_unused_is_noted(tmp_path: Path) -> None:
    lines = [line(k) for k in range(20)]
    without = {name: value for name, value in line(6).items() if name not in ("xpos", "hotbar")}
    make(tmp_path / "gap.mp4", [*lines[:6], without, *lines[7:]])
    torn = make(tmp_path / "torn.mp4", lines).with_suffix(".jsonl")
    torn.write_bytes(torn.read_bytes()[:-40])
    make(tmp_path / "leap.mp4", [line(k + 5 * (k > 9)) for k in range(20)])
    film(make(tmp_path / "whole.mp4", lines), 20)
    report = check(tmp_path)
    assert report["episodes"] == 4 and report["frames"] == 79 and not report["broken"]
    assert report["notes"] == [
        "gap.mp4: line 7 has no place, so the clip counts as having none",
        "gap.mp4: line 7 has no hotbar, so the clip counts as having none",
        "leap.mp4: ticks leap at line 11",
        "torn.mp4: 20 frames and 19 lines; the shorter one counts",
    ]
    assert Clip.load(tmp_path / "gap").poses is None


@pytest.mark.filterwarnings("ignore:.*ends first")
def test_frames_are_counted_up_to_the_first_damaged_one(tmp_path: Path) -> None:
    for flags in ("faststart", "", "frag_keyframe+empty_moov+default_base_moof"):
        film(tmp_path / "a.mp4", 20, flags=flags)
        assert video.count_frames(tmp_path / "a.mp4") == 20
        overwrite(tmp_path / "a.mp4")
        assert 0 <= video.count_frames(tmp_path / "a.mp4") < 20


def test_a_vpt_recording_with_its_quirks(tmp_path: Path) -> None:
    """Attack held from the start, menus, slots by field, turns in parts of pixels, another recorder's mouse."""
    lines, yaw = [], 359.0
    for k in range(100):
        dx = 4.0 + 0.37 * (k % 60)
        each = line(k, yaw=yaw % 360, hotbar=0 if k < 50 else 3, isGuiOpen=70 <= k < 80)
        each["mouse"] = {"dx": dx, "dy": -0.25, "buttons": [0] * (k < 30), "newButtons": [0] * (k == 0)}
        del each["node_events"]
        lines.append(each)
        yaw += 0.0 if each["isGuiOpen"] else 0.3 * dx
    found = examine(make(tmp_path / "a.mp4", lines))
    assert found.layout == "vpt" and found.menus == 10
    assert not any(action.attack for action in found.actions)
    assert [k for k, action in enumerate(found.actions) if action.hotbar] == [49] and found.actions[49].hotbar == 4
    assert found.degrees_per_pixel == pytest.approx(0.3) and "0.300 degrees a pixel" in found.notes[0]
    assert found.actions[7].camera == pytest.approx((-0.25 * 0.3, (4 + 0.37 * 7) * 0.3))
    report = check(tmp_path)
    assert report["menu_frames"] == 10 and report["keys"]["attack"] == 0 and report["slot_changes"] == 0.01
    clips_to_shards(tmp_path, tmp_path / "out", SIZE)
    columns = Shard.open(tmp_path / "out" / "a").columns
    assert columns["episode"][:90].tolist() == [0] * 70 + [1] * 20
    turned = Action.from_vector(columns["actions"][7])
    assert turned.camera[1] == pytest.approx((4 + 0.37 * 7) * 0.3, abs=1e-3)


def test_statistics(tmp_path: Path) -> None:
    lines = [line(k) for k in range(40)]
    for k in range(0, 40, 4):
        lines[k]["keyboard"] = {"keys": ["key.keyboard.w"]}
    lines[3] |= {"dt": 120, "node_events": [{"type": "dig", "pos": [0, 0, 0], "node": "default:pine_tree"}]}
    lines[9]["mouse"] = {"dx": 20.0, "dy": -10.0, "buttons": [0]}
    make(tmp_path / "a.mp4", lines)
    report = check(tmp_path)
    assert report["keys"]["forward"] == 0.25 and report["keys"]["attack"] == 0.025 and report["keys"]["jump"] == 0
    assert report["late_ticks"] == 0.025 and report["events"] == {"dig": 1}
    assert report["turning"] == 0.025 and report["no_input"] == 0.725
    assert report["alignment"] is None


def panorama(turns: np.ndarray) -> np.ndarray:
    """Frames (uint8 [T, 96, 160, 3]) of a camera that moves along a random wall by `turns` pixels a tick."""
    rng = np.random.default_rng(0)
    wall = np.kron(rng.integers(0, 256, (24, 200)), np.ones((4, 4))).astype(np.uint8)
    places = 300 + np.concatenate(([0], np.cumsum(turns)))
    return np.stack([np.repeat(wall[:, place : place + 160, None], 3, axis=2) for place in places])


@pytest.mark.slow
@pytest.mark.parametrize("late", [0, 1, -1])
def test_alignment_is_measured_and_a_recorder_that_is_late_is_found_out(tmp_path: Path, late: int) -> None:
    pixels = np.random.default_rng(1).integers(-6, 7, 119)
    frames = panorama(pixels)
    told = np.roll(np.append(pixels, 0), late)
    make(tmp_path / "a.mp4", [line(k, mouse={"dx": float(d) * 5, "dy": 0.0, "buttons": []}) for k, d in
                              enumerate(told)], frames=frames)  # fmt: skip
    alignment = check(tmp_path)["alignment"]
    assert alignment["best_lag"] == late
    best = alignment[{0: "r", -1: "r_one_tick_earlier", 1: "r_one_tick_later"}[late]]
    assert best > 0.99
    if not late:
        assert alignment["pixels_per_degree"] == pytest.approx(1 / (5 * 0.15), rel=0.02)


def test_shifts_and_the_ticks_they_are_measured_on() -> None:
    frames = panorama(np.array([5, -3])).mean(-1)
    assert image_shift(frames[0], frames[1]) == pytest.approx(5, abs=0.2)
    assert image_shift(frames[1], frames[2]) == pytest.approx(-3, abs=0.2)
    assert np.isnan(image_shift(frames[0], np.random.default_rng(0).normal(99, 40, frames[0].shape)))
    actions = [Action(camera=(0, 2.0))] * 5 + [Action(forward=True)] + [Action(camera=(0, 2.0))] * 5
    assert turning_ticks(actions).tolist() == [True] * 3 + [False] * 5 + [True] * 3
    assert correlate(np.zeros(5), np.zeros((5, 3))) is None


def test_luanti_places_events_and_late_ticks_become_shards(tmp_path: Path) -> None:
    lines = [line(k, zpos=k * 0.2) for k in range(30)]
    for k in range(10, 20):  # looking along +x (90 degrees to the right of +z), walking there
        lines[k] |= {"yaw": 90.0, "xpos": 100 + 0.3 * (k - 10), "zpos": 1.8}
    lines[4] |= {"dt": 101, "node_events": [{"type": "dig", "node": "default:pine_tree"}]}
    lines[6] |= {"node_events": [{"type": "place", "node": "default:stone"}]}
    for k in range(20, 30):
        lines[k] |= {"xpos": 900.0}
    make(tmp_path / "in" / "deep" / "luanti-s7-1-0.mp4", lines)
    assert clips_to_shards(tmp_path / "in", tmp_path / "out", SIZE) == 1
    columns = Shard.open(tmp_path / "out" / "deep_luanti-s7-1-0").columns
    turn, _, travel = camera_motion(columns["eye"], columns["actions"][:-1])
    assert travel[2] == pytest.approx([0, 0, 0.2], abs=1e-3)  # ahead
    assert travel[12] == pytest.approx([0, 0, 0.3], abs=1e-3)
    assert turn[9] == pytest.approx([0, 90])
    assert columns["events"][5].tolist() == [1, 0, 1, 0, 0] and columns["events"][7].tolist() == [0, 1, 0, 0, 0]
    assert np.flatnonzero(columns["edited"]).tolist() == [5]
    assert columns["episode"].tolist() == [0] * 20 + [1] * 10
    assert columns["eye"][0] == pytest.approx([-100, 8.5 + 1.625, 0, 0, 0])


def test_menus_end_an_episode_and_old_recorders_have_keys_for_slots(tmp_path: Path) -> None:
    lines = [line(k, isGuiOpen=5 <= k < 8) for k in range(12)]
    for each in lines:
        del each["hotbar"], each["node_events"]
    lines[2]["keyboard"] = {"keys": ["key.keyboard.4"]}
    path = make(tmp_path / "in" / "a.mp4", lines)
    assert [action.hotbar for action in Clip.load(path).actions] == [0, 0, 4] + [0] * 6
    clips_to_shards(tmp_path / "in", tmp_path / "out", SIZE)
    columns = Shard.open(tmp_path / "out" / "a").columns
    assert columns["episode"][:9].tolist() == [0] * 5 + [1] * 4
    assert np.isnan(columns["eye"][:9, :3]).all() and np.isfinite(columns["eye"][:9, 3:]).all()


def test_another_mouse_scale_is_measured_and_told(tmp_path: Path) -> None:
    lines = [line(k, yaw=0.9 * k, mouse={"dx": 12.0, "dy": 0.0, "buttons": []}) for k in range(60)]
    found = examine(make(tmp_path / "a.mp4", lines))
    assert found.degrees_per_pixel == pytest.approx(0.075)
    assert "0.075 degrees a pixel" in found.notes[0]
    clips_to_shards(tmp_path, tmp_path / "out", SIZE)
    action = Action.from_vector(Shard.open(tmp_path / "out" / "a").columns["actions"][3])
    assert action.camera[1] == pytest.approx(0.9, abs=1e-4)


def test_wide_frames_are_cropped_not_squeezed(tmp_path: Path) -> None:
    frames = np.zeros((3, 36, 96, 3), np.uint8)
    frames[:, :, 44:52] = 255
    make(tmp_path / "a.mp4", [line(k) for k in range(3)], frames=frames)
    bright = Clip.load(tmp_path / "a", size=(18, 24)).frames[0, :, :, 0].mean(0) > 128
    assert np.flatnonzero(bright).tolist() == [10, 11, 12, 13]


def test_whole_seeds_are_held_out_and_everybody_chooses_the_same(tmp_path: Path) -> None:
    paths = [Path(f"luanti-s{seed}-{n}-0.mp4") for seed in range(42) for n in range(3)]
    chosen = held_out(paths, 0.1)
    assert len({group_of(path) for path in chosen}) == 4 and len(chosen) == 12
    assert held_out(reversed(paths), 0.1) == chosen
    assert held_out(paths, 0) == set()
    assert seed_of(Path("mine.mp4")) is None and len(held_out([Path("a.mp4"), Path("b.mp4")], 0.1)) == 1
    one_map = [Path(f"luanti-s7-{n}-0.mp4") for n in range(20)]
    assert len(held_out(one_map, 0.1)) == 2 and held_out(one_map[:1], 0.5) == set()
    with pytest.raises(ClipError):
        held_out(paths, 1.0)


@pytest.mark.slow
def test_judging_by_held_out_seeds_skips_late_ticks_and_names_broken_clips(tmp_path: Path) -> None:
    for seed in range(5):
        lines = [line(k, dt=120) if 10 <= k < 20 else line(k) for k in range(90)]
        make(tmp_path / f"luanti-s{seed}-0-0.mp4", lines)
    kept = {path.stem for path in held_out(recordings(tmp_path), 0.4)}
    runs = recorded_runs(str(tmp_path), 8, 0, 4, SIZE, held=0.4)
    assert {run.label.split()[0] for run in runs} == kept and len(kept) == 2
    assert all(int(run.label.split()[1]) + 3 >= 20 for run in runs)
    runs = recorded_runs(str(tmp_path), 3, 0, 4, SIZE, map_seeds=(3,))
    assert {run.label.split()[0] for run in runs} == {"luanti-s3-0-0"}
    (tmp_path / "luanti-s3-0-0.mp4").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="luanti-s3-0-0"):
        recorded_runs(str(tmp_path), 8, 0, 4, SIZE)
