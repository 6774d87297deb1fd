"""One bad recording, or one bad line, costs no more than itself; short ones are recordings like others."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from fake_film import SIZE, line, number_of_action, numbered, numbers_of, recording, write_film, write_lines

from reverie.demos import cli
from reverie.simulator import Action, Clip, clip_check
from reverie.simulator.clip_alignment import QUIET_TICKS, correlate, shifts, turning_ticks
from reverie.simulator.clip_check import check, examine
from reverie.simulator.clip_rows import clip_edited, clip_effects, clip_episodes, clip_eyes, clip_late, clip_travels
from reverie.simulator.errors import ClipError
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.scenes import resolve_scene
from reverie.simulator.shards import clips_to_shards

LENGTHS = range(13)


# Lengths


@pytest.mark.slow
@pytest.mark.parametrize("frames", LENGTHS)
def test_a_recording_of_any_length_ends_no_check(tmp_path: Path, frames: int) -> None:
    recording(tmp_path, "good", count=9)
    if frames:
        write_film(tmp_path / "odd.mp4", numbered(range(frames)))
    else:
        (tmp_path / "odd.mp4").write_bytes(b"")
    for lines in LENGTHS:
        kinds = ("none", "first", "last", "all") if lines == frames else ("none",)
        for menus in kinds if lines - frames in (-3, -2, 0, 1) or not lines else ():
            _reads_any_length(tmp_path, frames, lines, menus)


def _reads_any_length(folder: Path, frames: int, lines: int, menus: str) -> None:
    """Writes so many lines, with menus in some, beside the film `odd`, and has all readers read it."""
    told = [
        line(k, isGuiOpen=menus == "all" or (menus == "first" and not k) or (menus == "last" and k == lines - 1))
        for k in range(lines)
    ]
    write_lines(folder / "odd.jsonl", told)
    usable = frames > 0 and lines > 0 and abs(frames - lines) <= clip_check.LENGTH_TOLERANCE
    report = check(folder)
    assert report["episodes"] == 1 + usable and [each["file"] for each in report["broken"]] == ["odd"] * (not usable)
    assert report["frames"] == 9 + usable * min(frames, lines)
    learned = sum(not each["isGuiOpen"] for each in told[: min(frames, lines)]) if usable else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert clips_to_shards(folder, folder / "out", SIZE) == 1 + (learned > 0)
        for length in (1, 99):
            for read in (lambda n: Clip.load(folder / "odd", 0, n), lambda n: Clip.load_end(folder / "odd", n)):
                try:
                    clip = read(length)
                except ClipError as error:
                    assert "\n" not in str(error)
                else:
                    assert 0 < len(clip) <= min(frames, lines) and len(clip.actions) == len(clip)


@pytest.mark.parametrize("count", LENGTHS)
def test_what_is_computed_of_clips_is_computed_of_short_ones(count: int) -> None:
    rng = np.random.default_rng(count)
    actions = [Action(forward=bool(rng.random() < 0.2), camera=(0.0, float(rng.integers(-2, 3)))) for _ in range(count)]
    turning = turning_ticks(actions)
    yaw = np.array([action.camera[1] for action in actions])

    def near(k: int, ticks: int) -> range:
        return range(max(0, k - ticks), min(count, k + ticks + 1))

    assert turning.tolist() == [
        any(yaw[j] for j in near(k, 1)) and not any(actions[j].forward for j in near(k, QUIET_TICKS))
        for k in range(count)
    ]
    frames = np.zeros((count, *SIZE, 3), np.uint8)
    assert len(shifts(frames, np.zeros(0, int))) == 0
    assert correlate(np.zeros(count), np.zeros((count, 3))) is None
    if count:
        clip = Clip(frames, actions, poses=np.zeros((count, 5), np.float32), events=[[] for _ in actions])
        for column in (clip_eyes, clip_episodes, clip_edited, clip_effects, clip_late):
            assert len(column(clip)) == count
        assert len(clip_travels(clip)) == count - 1


def test_clips_of_one_tick_alone_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording(tmp_path / "in", count=1)
    assert cli.main(["clips", "check", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 1
    assert (tmp_path / "out" / "sheet.png").is_file()
    recording(tmp_path / "in", count=1, edit=(1, 0))
    assert cli.main(["clips", "check", str(tmp_path / "in")]) == 2
    assert "holds no recording" in capsys.readouterr().err


# Items


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [ValueError("shape\nmismatch"), IndexError(), RecursionError("deep"), OSError(5, "I/O")]
)
def test_errors_that_nobody_foresaw_cost_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a", "b", "c"):
        recording(tmp_path / "in", name, count=60)
    look, load = clip_check.examine, Clip.load

    def examined(path: Path) -> clip_check.Examined:
        if Path(path).stem == "b":
            raise error
        return look(path)

    def loaded(path: Path, *rest: object, **more: object) -> Clip:
        if Path(path).stem == "b":
            raise error
        return load(path, *rest, **more)

    for place, name, broken in ((clip_check, "examine", examined), (Clip, "load", loaded)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, broken)
            report = check(tmp_path / "in")
            assert report["episodes"] == 2 and report["broken"][0]["file"] == "b"
            assert type(error).__name__ in report["broken"][0]["reason"]
            with pytest.warns(UserWarning, match=f"left out.*{type(error).__name__}"):
                assert clips_to_shards(tmp_path / "in", tmp_path / "out", SIZE) == 2
        (tmp_path / "out" / "a" / "shard.json").unlink()
    monkeypatch.setattr(Clip, "load", loaded)
    with pytest.warns(UserWarning, match="left out"):
        runs = recorded_runs(str(tmp_path / "in"), 9, 0, 4, SIZE)
    assert {run.label.split()[0] for run in runs} == {"a", "c"}


def test_what_is_no_file_costs_no_other(tmp_path: Path) -> None:
    recording(tmp_path, "good", count=5)
    (tmp_path / "folder.mp4").mkdir()
    write_lines(tmp_path / "folder.jsonl", [line(0)])
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    write_lines(tmp_path / "lost.jsonl", [line(0)])
    os.mkfifo(recording(tmp_path, "pipe", count=5).with_suffix(".MKV"))
    (tmp_path / "pipe.mp4").unlink()
    recording(tmp_path, "half", count=5).with_suffix(".jsonl").unlink()
    report = check(tmp_path)
    reasons = {each["file"]: each["reason"] for each in report["broken"]}
    assert report["episodes"] == 1 and reasons == {
        "folder": "folder.mp4 is a folder", "lost": "lost.mp4 is a link to what is not there",
        "pipe": "pipe.MKV is not a file", "half": "half.jsonl is missing",
    }  # fmt: skip
    assert clips_to_shards(tmp_path, tmp_path / "out", SIZE) == 1
    assert len(recorded_runs(str(tmp_path), 1, 0, 1, SIZE, horizon=2)) == 1


# Lines


@pytest.mark.parametrize("tail", ["\n", "\r\n", "\n\n\n", "  \n", "\t", "\r\n\r\n", '{"mouse": ', "\x00\x00"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_comes_after_the_last_line_is_no_tick(tmp_path: Path, end: str, tail: str) -> None:
    film = recording(tmp_path, count=12)
    text = film.with_suffix(".jsonl")
    write_lines(text, [line(k) for k in range(12)], end=end)
    text.write_bytes(text.read_bytes() + tail.encode())
    assert examine(film).frames == 12 and not examine(film).notes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for clip in (Clip.load(film), Clip.load(film, 3), Clip.load_end(film, 9)):
            assert numbers_of(clip.frames) == [number_of_action(each) for each in clip.actions] == clip.ticks.tolist()
            assert clip.ticks[-1] == 11


def test_blank_lines_between_ticks_are_let_through_only_where_none_is_missing(tmp_path: Path) -> None:
    film = recording(tmp_path, count=6)
    text = film.with_suffix(".jsonl")
    ticks = [json.dumps(line(k)) for k in range(6)]
    text.write_text("\n\n".join(ticks) + "\n")
    assert len(Clip.load(film)) == 6
    text.write_text("\n".join([*ticks[:2], "", *ticks[3:]]) + "\n")  # a tick was lost there
    with pytest.raises(ClipError, match="line 4: follows a blank line, and a tick may be missing"):
        examine(film)
    bare = [json.dumps({name: value for name, value in line(k).items() if name != "tick"}) for k in range(6)]
    text.write_text("\n".join([*bare[:2], "", *bare[2:]]) + "\n")
    with pytest.raises(ClipError, match="may be missing"):
        Clip.load(film)


UNREAD = {
    "nan": b'"milli": NaN', "infinity": b'"serverTickDurationMs": -Infinity', "stray byte": b'"chars": "\xff\xfe"',
    "latin": b'"inventory": [{"type": "\xe4\xf6"}]', "control": b'"chars": "a\x01\tb"',
    "endless": b'"milli": ' + b"9" * 5000,
    "half a pair": b'"chars": "\\ud800"', "null": b'"stats": null', "deep": b'"stats": ' + b"[" * 50 + b"]" * 50,
    "nested nan": b'"stats": {"a": [NaN, {"b": Infinity}]}', "twice": b'"milli": 1, "milli": NaN',
}  # fmt: skip


@pytest.mark.parametrize("field", UNREAD.values(), ids=UNREAD)
def test_fields_that_nobody_reads_may_hold_anything(tmp_path: Path, field: bytes) -> None:
    film = recording(tmp_path, count=6)
    text = film.with_suffix(".jsonl")
    ticks = text.read_bytes().splitlines()
    ticks[3] = ticks[3][:-1] + b", " + field + b"}"
    text.write_bytes(b"\n".join(ticks) + b"\n")
    assert [number_of_action(action) for action in Clip.load(film).actions] == list(range(6))
    assert examine(film).frames == 6
    assert resolve_scene(film, SIZE).clip.ticks[-1] == 5
    text.write_bytes(b"\n".join(ticks))  # as the last line's end may be missing, too
    assert len(Clip.load(film)) == 6


@pytest.mark.parametrize(
    "field",
    [
        b'"dt": NaN', b'"xpos": Infinity, "ypos": 1, "zpos": 1, "yaw": 1, "pitch": 1', b'"hotbar": 77', b'"events": 3',
        b'"dt": 1e39', b'"xpos": -1e39, "ypos": 1, "zpos": 1, "yaw": 1, "pitch": 1', b'"hotbar": 1' + b"0" * 330,
    ],
)  # fmt: skip
def test_fields_that_are_read_are_not_guessed(tmp_path: Path, field: bytes) -> None:
    film = recording(tmp_path, count=6)
    text = film.with_suffix(".jsonl")
    ticks = text.read_bytes().splitlines()
    ticks[3] = ticks[3][:-1] + b", " + field + b"}"
    text.write_bytes(b"\n".join(ticks) + b"\n")
    with pytest.raises(ClipError, match=r"clip\.jsonl, line 4: "):
        Clip.load(film)


def test_buttons_that_no_mouse_has_are_none(tmp_path: Path) -> None:
    film = recording(tmp_path, count=6)
    text = film.with_suffix(".jsonl")
    odd = b'"buttons": [1, 1' + b"0" * 330 + b", 1e999, NaN, -7]"
    text.write_bytes(
        text.read_bytes().replace(b'"buttons": []', odd).replace(b'"newButtons": []', b'"newButtons": null')
    )
    assert [action.use for action in Clip.load(film).actions] == [True] * 6
