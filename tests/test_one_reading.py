"""All who read recordings read the same: frames, mouse scales, names; and what is made of them is of no others."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from fake_film import SIZE, line, number_of_action, numbered, numbers_of, recording, turning, write_film, write_lines

from reverie.demos import finetune
from reverie.demos.train import _write_lessons
from reverie.model.training.shards import META, Shard, ShardWriter, read_meta
from reverie.simulator import video
from reverie.simulator.action import Action
from reverie.simulator.clip_check import check, examine
from reverie.simulator.clip_names import clip_files, clip_paths, find_clip, recordings
from reverie.simulator.clips import Clip, ClipWriter
from reverie.simulator.errors import ClipError
from reverie.simulator.judge.cache import recordings_version
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.lessons import is_lesson_of
from reverie.simulator.shards import ShardPlan, clips_to_shards, shard_names, write_shards

COUNT = 90
SQUARE = (32, 80)


def in_shards(folder: Path, out: Path) -> dict[str, tuple[list[int], list[int]]]:
    """Numbers of the frames, and of the actions, of each shard that is made of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clips_to_shards(folder, out, SQUARE)
    found = {}
    for meta in sorted(out.glob(f"*/{META}")):
        shard = Shard.open(meta.parent)
        actions = [Action.from_vector(row) for row in shard.columns["actions"][: shard.rows]]
        frames = numbers_of(np.asarray(shard.columns["frames"][: shard.rows]))
        found[meta.parent.name] = frames, [number_of_action(action) for action in actions]
    return found


# Frames


@pytest.mark.parametrize("b_frames", ["0", "3"])
@pytest.mark.parametrize("edit", [(0, 0), (1, 0), (12, 0), (30, 0), (31, 3), (0, 12), (COUNT - 1, 0)])
def test_hidden_frames_move_no_action(tmp_path: Path, edit: tuple[int, int], b_frames: str) -> None:
    options = {"g": "30", "crf": "10", "bf": b_frames}
    path = recording(tmp_path / "in", count=COUNT, edit=edit, options=options)
    shown = list(range(edit[0], COUNT - edit[1]))
    assert len(video.survey(path)) == video.count_frames(path) == len(shown)
    if edit[0]:  # lines of hidden frames: which one the first line is of, nobody says
        for read in (examine, Clip.load, lambda path: Clip.load(path, 0, 1), lambda path: Clip.load_end(path, 5)):
            with pytest.raises(ClipError, match="edit list hides"):
                read(path)
        assert in_shards(tmp_path / "in", tmp_path / "out") == {}
        with pytest.raises(ClipError):
            check(tmp_path / "in")
    write_lines(path.with_suffix(".jsonl"), [line(number) for number in shown])
    assert examine(path).frames == len(shown)
    for clip in (Clip.load(path), Clip.load(path, 0, 3), Clip.load(path, len(shown) // 2), Clip.load_end(path, 5)):
        assert numbers_of(clip.frames) == [number_of_action(action) for action in clip.actions]
    assert numbers_of(Clip.load_end(path, 1).frames) == shown[-1:]
    assert in_shards(tmp_path / "in", tmp_path / "out") == {"clip": (shown, shown)}


def test_judging_leaves_out_what_training_leaves_out(tmp_path: Path) -> None:
    recording(tmp_path, "good", count=COUNT)
    recording(tmp_path, "hidden", count=COUNT, edit=(2, 0))
    recording(tmp_path, "slow", count=COUNT, rate=10)
    assert set(in_shards(tmp_path, tmp_path / "out")) == {"good"}
    with pytest.warns(UserWarning, match="left out") as told:
        runs = recorded_runs(str(tmp_path), 12, 0, 4, SIZE)
    assert {run.label.split()[0] for run in runs} == {"good"}
    words = " ".join(str(each.message) for each in told)
    assert "edit list hides" in words and "10 frames a second" in words


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {"bf": "0", "g": "30"}),
        ("mp4", "libx264", {"bf": "3", "g": "50"}),
        ("mov", "libx264", {"bf": "3", "g": "50"}),
        ("mkv", "libx264", {"bf": "3", "g": "50"}),
        ("webm", "libvpx-vp9", {"g": "50", "deadline": "realtime", "cpu-used": "8"}),
    ],
)
def test_a_part_is_what_the_whole_has_there(tmp_path: Path, suffix: str, codec: str, options: dict[str, str]) -> None:
    count = video.SEEK_FROM + 60
    write_film(tmp_path / f"a.{suffix}", numbered(range(count)), codec=codec, options=options)
    write_lines(tmp_path / "a.jsonl", [line(number) for number in range(count)])
    assert numbers_of(Clip.load(tmp_path / f"a.{suffix}").frames) == list(range(count))
    for start in (video.SEEK_FROM - 1, video.SEEK_FROM, video.SEEK_FROM + 37, count - 1):
        part = Clip.load(tmp_path / "a", start, 9)
        assert numbers_of(part.frames) == list(range(start, min(start + 9, count)))
        assert [number_of_action(action) for action in part.actions] == numbers_of(part.frames) == part.ticks.tolist()
    assert Clip.load_end(tmp_path / "a.jsonl", 7).ticks.tolist() == list(range(count - 7, count))


def test_a_part_of_our_own_recordings_is_found_by_seeking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = video.SEEK_FROM * 3
    with ClipWriter(tmp_path / "a", SIZE) as writer:
        for frame in numbered(range(count)):
            writer.write(frame, Action())
    decoded = []
    decode = video._decode
    monkeypatch.setattr(video, "_decode", lambda *film: (decoded.append(1) or each for each in decode(*film)))
    assert numbers_of(Clip.load(tmp_path / "a", count - 20, 5).frames) == list(range(count - 20, count - 15))
    assert len(decoded) <= video.KEY_FRAME_EVERY + 6
    decoded.clear()
    assert numbers_of(Clip.load_end(tmp_path / "a", 5).frames) == list(range(count - 5, count))
    assert len(decoded) <= video.KEY_FRAME_EVERY + 6


def test_the_end_of_films_that_are_not_even_is_counted(tmp_path: Path) -> None:
    """A film that lacks frames in its middle, by its times: line and frame still belong together by their numbers."""
    path = recording(tmp_path, count=COUNT, options={"bf": "0", "g": "10"})
    part = 40
    write_lines(path.with_suffix(".jsonl"), [line(number) for number in range(COUNT) if number != part])
    with pytest.warns(UserWarning, match="jsonl ends first"):
        clip = Clip.load_end(path, 3)
    assert numbers_of(clip.frames) == [COUNT - 4, COUNT - 3, COUNT - 2]
    assert [number_of_action(action) for action in clip.actions] == [COUNT - 3, COUNT - 2, COUNT - 1]


def test_a_film_that_decodes_to_other_frames_is_refused(tmp_path: Path) -> None:
    path = recording(tmp_path, count=COUNT)
    times = video.survey(path).times
    assert len(list(video.iterate_video(path, 0, COUNT, times=times))) == COUNT
    with pytest.raises(ClipError, match="cannot be decoded at frame 3"):
        list(video.iterate_video(path, 0, COUNT, times=np.delete(times, 3)))


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0),
     (0, -1, -1, 0)],
)  # fmt: skip
def test_films_are_read_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """The matrix says where a stored pixel is shown: x' = ax + cy, y' = bx + dy (ISO/IEC 14496-12)."""
    rng = np.random.default_rng(0)
    upright = np.kron(rng.integers(0, 256, (2, 4, 6, 1)), np.ones((1, 16, 16, 3))).astype(np.uint8)
    a, b, c, d = matrix
    _, height, width, _ = upright.shape
    tall, wide = (width, height) if b else (height, width)
    y, x = np.mgrid[:tall, :wide]
    across, down = a * x + c * y, b * x + d * y
    stored = upright[:, down - down.min(), across - across.min()]
    path = write_film(tmp_path / "a.mp4", stored, matrix=matrix, options={"crf": "5"})
    write_lines(tmp_path / "a.jsonl", [line(0), line(1)])
    seen = Clip.load(path).frames
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 6
    assert examine(path).size == (height, width)
    small = Clip.load(path, size=(16, 24)).frames
    assert np.abs(small.astype(int) - upright.reshape(2, 16, 4, 24, 4, 3).mean((2, 4))).mean() < 6


# The mouse's scale


@pytest.mark.parametrize("scale", [0.075, 0.15, 0.3])
def test_everybody_reads_the_same_turns(tmp_path: Path, scale: float) -> None:
    lines = turning(COUNT, scale)
    write_lines(tmp_path / "a.jsonl", lines)
    write_film(tmp_path / "a.mp4", numbered(range(COUNT)))
    true = np.array([each["mouse"]["dx"] * scale for each in lines])
    found = examine(tmp_path / "a.mp4")
    assert found.degrees_per_pixel == pytest.approx(scale, rel=1e-3)

    def turns(actions: list[Action]) -> np.ndarray:
        return np.array([action.camera[1] for action in actions])

    assert turns(found.actions) == pytest.approx(true, rel=1e-3)
    assert turns(Clip.load(tmp_path / "a").actions) == pytest.approx(true, rel=1e-3)
    assert turns(Clip.load(tmp_path / "a", 70, 5).actions) == pytest.approx(true[70:75], rel=1e-3)
    assert turns(Clip.load_end(tmp_path / "a", 4).actions) == pytest.approx(true[-4:], rel=1e-3)
    for run in recorded_runs(str(tmp_path), 3, 0, 4, SIZE):
        start = int(run.label.split()[1]) + 3
        asked = turns([Action.from_vector(row) for row in run.actions])
        assert asked == pytest.approx(true[start : start + len(asked)], abs=1e-3)
    clips_to_shards(tmp_path, tmp_path / "out", SQUARE)
    shard = Shard.open(tmp_path / "out" / "a")
    assert turns([Action.from_vector(row) for row in shard.columns["actions"]]) == pytest.approx(true, abs=1e-3)
    assert check(tmp_path)["yaw_per_tick"]["50"] == pytest.approx(np.median(true), rel=1e-2)


# Names


@pytest.mark.parametrize("film", ["a.mp4", "a.MP4", "a.Mp4", "a.mov", "a.MKV", "a.m4v"])
@pytest.mark.parametrize("lines", ["a.jsonl", "a.JSONL", "a.Jsonl"])
def test_suffixes_in_any_case_are_a_recording(tmp_path: Path, film: str, lines: str) -> None:
    made = recording(tmp_path / "d", "x", count=5, kind="matroska" if film.endswith("MKV") else None)
    made.rename(tmp_path / film)
    made.with_suffix(".jsonl").rename(tmp_path / lines)
    pair = (tmp_path / film, tmp_path / lines)
    assert recordings(tmp_path) == [pair[0]]
    for name in ("a", film, lines, "a.jsonl"):
        assert find_clip(tmp_path / name) == pair
        assert len(Clip.load(tmp_path / name)) == 5
    assert check(tmp_path)["episodes"] == 1
    assert set(in_shards(tmp_path, tmp_path / "out")) == {"a"}
    before = recordings_version(str(tmp_path))
    os.utime(pair[0], ns=(1, 1))
    assert recordings_version(str(tmp_path)) != before


def test_further_files_of_a_name_are_named(tmp_path: Path) -> None:
    recording(tmp_path, "a", count=5)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "a.mkv")
    (tmp_path / "._b.mp4").write_bytes(b"left by macOS")
    (found,) = clip_files(tmp_path)
    assert found.film == tmp_path / "a.mp4" and found.others == (tmp_path / "a.mkv",)
    report = check(tmp_path)
    assert report["episodes"] == 1
    assert report["broken"] == [{"file": "a.mkv", "reason": "a.mp4 and a.jsonl has the same name"}]


def test_what_is_written_is_named_as_it_was_asked_for() -> None:
    for name, film in {
        "x/a": "x/a.mp4",
        "a.mp4": "a.mp4",
        "A.MP4": "A.MP4",
        "a.jsonl": "a.mp4",
        "v1.2": "v1.2.mp4",
    }.items():
        assert clip_paths(name)[0] == Path(film)
        assert clip_paths(name)[1].suffix.lower() == ".jsonl"
    for name in ("a.avi", "a.mkv", "a.MOV", "a.webm", "a.gif", "a.png"):
        with pytest.raises(ClipError, match=r"mp4.*name it a\.mp4"):
            clip_paths(name)
    with pytest.raises(ClipError):
        clip_paths("")


# What is made of recordings


def test_shards_are_of_the_recordings_that_are_there_now(tmp_path: Path) -> None:
    a, b, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    recording(a, "walk", count=8)
    recording(a, "gone", count=8)
    recording(b, "walk", count=8, first=100)
    assert set(in_shards(a, out)) == {"walk", "gone"}
    kept = (out / "walk" / "frames.npy").stat()
    assert set(in_shards(a, out)) == {"walk", "gone"}
    assert (out / "walk" / "frames.npy").stat().st_ino == kept.st_ino and kept.st_mtime_ns == (
        out / "walk" / "frames.npy").stat().st_mtime_ns  # fmt: skip
    assert in_shards(b, out) == {"walk": (list(range(100, 108)),) * 2}
    (b / "walk.mp4").rename(b / "run.mp4")
    (b / "walk.jsonl").rename(b / "run.jsonl")
    assert set(in_shards(b, out)) == {"run"}
    assert sorted(path.name for path in out.iterdir()) == ["run"]


@pytest.mark.parametrize("suffix", [".mp4", ".jsonl"])
def test_a_changed_file_is_seen_even_if_its_time_is_not(tmp_path: Path, suffix: str) -> None:
    film = recording(tmp_path / "in", count=8)
    in_shards(tmp_path / "in", tmp_path / "out")
    before = read_meta(tmp_path / "out" / "clip")
    path = film.with_suffix(suffix)
    facts = path.stat()
    other = recording(tmp_path / "other", count=8, first=1).with_suffix(suffix)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    in_shards(tmp_path / "in", tmp_path / "out")
    assert read_meta(tmp_path / "out" / "clip") != before


def test_another_size_or_choice_of_recordings_is_made_anew(tmp_path: Path) -> None:
    for name in ("a", "b"):
        recording(tmp_path / "in", name, count=8)
    clips_to_shards(tmp_path / "in", tmp_path / "out", SQUARE)
    clips_to_shards(tmp_path / "in", tmp_path / "out", (16, 48))
    assert Shard.open(tmp_path / "out" / "a").size == (16, 48)
    assert clips_to_shards(tmp_path / "in", tmp_path / "out", (16, 48), {tmp_path / "in" / "b.mp4"}) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_a_recording_that_has_broken_since_is_not_learned_from(tmp_path: Path) -> None:
    film = recording(tmp_path / "in", "a", count=8)
    recording(tmp_path / "in", "b", count=8)
    in_shards(tmp_path / "in", tmp_path / "out")
    film.write_bytes(b"broken")
    assert set(in_shards(tmp_path / "in", tmp_path / "out")) == {"b"}


def test_names_that_collide_are_kept_apart(tmp_path: Path) -> None:
    made = {"a_b": 0, "a/b": 20, "A_b": 40, "a_b_c": 60, "a/b_c": 80, "x" * 120 + "/" + "y" * 120: 200}
    for name, first in made.items():
        recording((tmp_path / "in" / name).parent, Path(name).name, count=3, first=first)
    found = in_shards(tmp_path / "in", tmp_path / "out")
    assert sorted(frames[0] for frames, _ in found.values()) == sorted(made.values())
    films = recordings(tmp_path / "in")
    names = shard_names(films, tmp_path / "in")
    assert len({name.casefold() for name in names.values()}) == len(films)
    assert in_shards(tmp_path / "in", tmp_path / "out") == found


@pytest.mark.slow
def test_shards_of_something_else_are_neither_learned_from_nor_deleted(tmp_path: Path) -> None:
    recording(tmp_path / "in", count=3)
    write_shards(tmp_path / "out", 1, 5, ShardPlan(size=SQUARE, rows=8, episode=(8, 8)))
    with pytest.raises(ClipError, match="something else than recordings"):
        clips_to_shards(tmp_path / "in", tmp_path / "out", SQUARE)
    assert Shard.open(tmp_path / "out" / "00000").rows == 8


@pytest.mark.slow
def test_voxel_shards_of_another_seed_or_size_are_made_anew(tmp_path: Path) -> None:
    plan = ShardPlan(size=SQUARE, rows=8, episode=(8, 8))
    recording(tmp_path / "in", count=3)
    clips_to_shards(tmp_path / "in", tmp_path / "out", SQUARE)
    for seed, size in ((1, SQUARE), (2, SQUARE), (2, (16, 48))):
        assert write_shards(tmp_path / "out", 1, seed, ShardPlan(size=size, rows=plan.rows, episode=(8, 8))) == 1
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["00000"]
        meta = read_meta(tmp_path / "out" / "00000")
        assert meta is not None and f"seed {seed}," in meta["origin"] and meta["size"] == list(size)


@pytest.mark.slow
def test_rehearsal_follows_its_source_and_never_writes_into_it(tmp_path: Path) -> None:
    plan = ShardPlan(size=SQUARE, rows=512, episode=(60, 60))
    sources = [tmp_path / "one", tmp_path / "two"]
    for seed, source in enumerate(sources):
        write_shards(source, 1, seed, ShardPlan(size=SQUARE, rows=16, episode=(16, 16)))
    config = finetune.ModelConfig(size=SQUARE)
    for source in (*sources, sources[0]):
        out = finetune.rehearsal(str(source), tmp_path / "replay", 10, config, 0, 9.0)
        assert [path.resolve() for path in out.iterdir()] == [source / "00000"]
    before = (sources[0] / "00000" / "frames.npy").read_bytes()
    out = finetune.rehearsal(None, tmp_path / "replay", 16, config, 9, 60.0, plan)
    assert not (out / "00000").is_symlink() and Shard.open(out / "00000").rows == plan.rows
    assert (sources[0] / "00000" / "frames.npy").read_bytes() == before


def test_lessons_are_of_the_shard_that_is_there(tmp_path: Path) -> None:
    made = []

    def write(folder: Path, out: Path) -> int:
        from reverie.simulator.lessons import _save

        made.append(folder.name)
        _save(out, {"effect": np.zeros(1)}, folder)
        return 1

    recording(tmp_path / "in", "a", count=4)
    recording(tmp_path / "in", "b", count=4)
    for times in (1, 1, 2):
        if times == 2:
            recording(tmp_path / "in", "b", count=5)
        clips_to_shards(tmp_path / "in", tmp_path / "out", SQUARE)
        _write_lessons(tmp_path / "out", tmp_path / "lessons", write)
        assert made.count("b") == times and made.count("a") == 1
        assert is_lesson_of(tmp_path / "lessons" / "b", tmp_path / "out" / "b")


def test_figures_from_before_are_of_the_same_model_and_recordings(tmp_path: Path) -> None:
    made = []

    def measure() -> dict[str, int]:
        made.append(1)
        return {"n": len(made)}

    path = tmp_path / "before.json"
    for resume, of, expected in ((False, "a", 1), (True, "a", 1), (True, "b", 2), (True, "b", 2), (False, "b", 3)):
        assert finetune._remembered(path, resume, {"recordings": of}, measure) == {"n": expected}
    path.write_text(json.dumps({"n": 9}))  # as it was written before
    assert finetune._remembered(path, True, {"recordings": "b"}, measure) == {"n": 4}


def test_an_interrupted_shard_does_not_count(tmp_path: Path) -> None:
    recording(tmp_path / "in", count=3)
    in_shards(tmp_path / "in", tmp_path / "out")
    ShardWriter(tmp_path / "out" / "clip", 3, SQUARE)  # begins anew, and never ends
    assert read_meta(tmp_path / "out" / "clip") is None
    assert set(in_shards(tmp_path / "in", tmp_path / "out")) == {"clip"}
