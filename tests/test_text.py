"""Text in every encoding that programs write, and names that terminals cannot show."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_film import SIZE, line, number_of_action, numbers_of, recording, write_lines

from reverie.demos import cli
from reverie.demos.pages.write import _written
from reverie.demos.play import read_actions
from reverie.model.errors import ReverieError
from reverie.model.training.shards import Shard
from reverie.simulator import Action, Clip, clip_lines
from reverie.simulator.clip_check import check, examine
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.judge.sheet import Strip, write_sheet
from reverie.simulator.shards import clips_to_shards
from reverie.simulator.text import decode, printable, raw_lines

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
BIG = {"utf-16": (b"\xfe\xff", "utf-16-be"), "utf-32": (b"\x00\x00\xfe\xff", "utf-32-be")}
NAMES = ("сон", "dä m", "夢", "\udce4\udcff", "d\udce4m", "a\u2028b")
"""Names of files, some of bytes that are not UTF-8."""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_actions_and_lines_are_read_in_any_encoding_with_a_mark(tmp_path: Path, encoding: str, end: str) -> None:
    actions = [Action(forward=True), Action(), Action(hotbar=3)]
    text = "".join(json.dumps(action.to_dict()) + end for action in actions)
    path = tmp_path / "a.jsonl"
    path.write_bytes(text.encode(encoding))
    assert read_actions(str(path)) == actions
    film = recording(tmp_path, "clip", count=9)
    write_lines(film.with_suffix(".jsonl"), [line(k) for k in range(9)], end=end, encoding=encoding)
    assert examine(film).frames == 9
    for clip in (Clip.load(film), Clip.load_end(film, 4), Clip.load(film, 3, 2)):
        assert [number_of_action(action) for action in clip.actions] == numbers_of(clip.frames)
    if encoding in BIG:
        mark, name = BIG[encoding]
        path.write_bytes(mark + text.encode(name))
        assert read_actions(str(path)) == actions


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\x00\x81", "not text"), (b"\x89PNG\r\n\x1a\n\xff", "not text"), (b"", "holds no actions"),
        (b"\xef\xbb\xbf", "holds no actions"), (b'{"mouse": {"dx": 1}}\n', "lines of a recording"),
        (b"[1]\n", "line 1"), (b"{}\n{\n", "line 2"),
    ],
)  # fmt: skip
def test_what_is_no_action_is_told_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ReverieError, match=words) as told:
        read_actions(str(tmp_path / "a.jsonl"))
    assert "\n" not in str(told.value)


def test_separators_within_a_line_end_none(tmp_path: Path) -> None:
    film = recording(tmp_path, count=3)
    lines = [line(k, stats={"a": "x\u2028y\x85z\x0b"}) for k in range(3)]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines)
    film.with_suffix(".jsonl").write_text(text, "utf-8")
    assert len(Clip.load(film)) == 3


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n" + b"x" * 50 + b"\nnever")
    assert list(raw_lines(path, 10)) == [b"one\r\n", b"\n", b"x" * 11]
    path.write_bytes(b"")
    assert list(raw_lines(path, 10)) == []
    path.write_bytes("a\nю".encode("utf-16"))
    assert [raw.decode() for raw in raw_lines(path, 10)] == ["a\n", "ю"]
    assert decode(b"\xef\xbb\xbf\xc3\xa4") == "ä"
    assert clip_lines.parse_line(json.dumps(line(3)).encode(), "x").mouse == (0.0, 3.0)


@pytest.mark.parametrize("name", NAMES)
def test_recordings_of_any_name_are_read_judged_and_learned_from(tmp_path: Path, name: str) -> None:
    try:
        os.fsencode(name)
        recording(tmp_path / "in", name, count=50)
    except (OSError, UnicodeError):
        pytest.skip("this disk has no such names")
    recording(tmp_path / "in", "plain", count=50)
    report = check(tmp_path / "in", tmp_path / "out")
    assert report["episodes"] == 2 and (tmp_path / "out" / "sheet.png").is_file()
    assert clips_to_shards(tmp_path / "in", tmp_path / "shards", SIZE) == 2
    assert clips_to_shards(tmp_path / "in", tmp_path / "shards", SIZE) == 2
    assert all(Shard.open(folder).rows == 50 for folder in (tmp_path / "shards").iterdir())
    assert name in {run.label.rpartition(" ")[0] for run in recorded_runs(str(tmp_path / "in"), 4, 0, 4, SIZE)}


@pytest.mark.parametrize("name", NAMES)
def test_reports_pages_and_sheets_hold_any_name(tmp_path: Path, name: str) -> None:
    _written(tmp_path / "page.html", f"<p>{name}</p>")
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<p>")
    write_sheet(tmp_path / "sheet.png", [Strip(name, np.zeros((1, *SIZE, 3), np.uint8))])
    assert printable(name).encode("utf-8")
    assert printable("d\udce4m") == "d\\udce4m" and printable("сон") == "сон"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251", "utf-8", "shift_jis"])
def test_what_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    cli.escape_output()
    for stream in streams.values():
        for name in NAMES:
            print(name, file=stream, flush=True)
        assert len(stream.buffer.getvalue().splitlines()) >= len(NAMES)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a console
    cli.escape_output()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "сон"), ("utf-8:strict", "d\udce4m"), ("latin-1:strict", "夢"), ("ascii", "")]
)
def test_a_good_run_ends_well_on_any_terminal(tmp_path: Path, encoding: str, name: str) -> None:
    arguments = ["play", "--world", "voxel", "--headless", "--frames", "1", "--record", f"{name or 'a'}.mp4"]
    if not name:
        arguments = ["play", "--world", "voxel", "--headless", "--frames", "1", "--scene", "夢"]
    done = subprocess.run(
        [sys.executable, "-m", "reverie.demos.cli", *map(os.fsencode, arguments)],
        capture_output=True, cwd=tmp_path, check=False, env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr and done.returncode == (0 if name else 2), done.stderr
    if name:
        assert b"record: " in done.stdout and (tmp_path / f"{name}.mp4").is_file()
