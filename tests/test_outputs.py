"""Outputs and packages are looked at before any work: nothing is overwritten by mistake, nothing fails at the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fake_film import recording

from reverie.demos import cli, finetune, footage, queue, train
from reverie.demos.options import PlayOptions
from reverie.demos.play import check_record
from reverie.model.config import preset
from reverie.model.errors import ModelError, ReverieError
from reverie.model.weights import save_model
from reverie.simulator import outputs
from reverie.simulator.errors import OutputError
from reverie.simulator.outputs import apart, writable_file, writable_folder, writable_picture


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a recording, actions, a picture, and links to them."""
    monkeypatch.chdir(tmp_path)
    recording(tmp_path, "walk", count=4)
    Path("todo.jsonl").write_text('{"forward": true}\n')
    Path("picture.png").write_bytes(b"png")
    Path("soft.mp4").symlink_to("walk.mp4")
    os.link("todo.jsonl", "hard.jsonl")
    Path("sub").mkdir()
    Path("there").symlink_to(".", target_is_directory=True)
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


SAME_ACTIONS = ("todo.mp4", "todo", "todo.jsonl", "./sub/../todo.mp4", "there/todo.mp4", "hard.mp4", "hard.jsonl")
SAME_SCENE = ("walk.mp4", "walk", "walk.jsonl", "there/walk.mp4", "sub/../walk.jsonl", "soft.mp4")


@pytest.mark.parametrize(
    ("options", "records"),
    [
        ({"actions": "todo.jsonl"}, SAME_ACTIONS),
        ({"actions": "hard.jsonl"}, SAME_ACTIONS),
        ({"actions": "there/todo.jsonl"}, SAME_ACTIONS),
        ({"scene": "walk.mp4"}, SAME_SCENE),
        ({"scene": "walk.jsonl"}, SAME_SCENE),
        ({"scene": "soft.mp4"}, ("walk.mp4",)),
        ({"scene": "walk.mp4", "actions": "todo.jsonl"}, SAME_SCENE + SAME_ACTIONS),
    ],
)
def test_no_recording_replaces_what_is_played_from(place: Path, options: dict[str, str], records: tuple[str]) -> None:
    for record in (*records, str(place / records[0])):
        with pytest.raises(OutputError, match="would be overwritten; choose another name"):
            check_record(record, PlayOptions(**options))
    for record in ("other.mp4", "sub/walk.mp4", "sub/todo"):
        assert check_record(record, PlayOptions(**options)).suffix == ".mp4"


def test_it_is_refused_on_the_command_line_before_anything_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(place)
    for arguments in (
        ("--actions", "todo.jsonl", "--record", "todo.mp4"),
        ("--scene", "walk.mp4", "--record", "soft.mp4"),
        ("--scene", "walk.mp4", "--record", "out.avi"),
        ("--record", "sub"),
        ("--record", "picture.png/a.mp4"),
    ):
        assert cli.main(["play", "--headless", "--frames", "1", *arguments]) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1
        assert snapshot(place) == before


def test_the_film_of_a_missing_display_replaces_no_input_either(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("reverie-dream.jsonl").write_text('{"forward": true}\n')
    monkeypatch.setattr("reverie.demos.play.missing_display", lambda: "no display")
    before = snapshot(place)
    assert cli.main(["play", "--world", "voxel", "--actions", "reverie-dream.jsonl"]) == 2
    assert "would be overwritten" in capsys.readouterr().err and snapshot(place) == before


def test_a_part_of_the_model_is_not_recorded_over(place: Path) -> None:
    Path("model").mkdir()
    Path("model/weights.bin").write_bytes(b"w")
    Path("a.mp4").symlink_to("model/weights.bin")
    with pytest.raises(OutputError, match="a part of --model"):
        check_record("a.mp4", PlayOptions(model="model"))
    assert check_record("a.mp4", PlayOptions(model="tiny"))


def test_the_report_names_what_was_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record, written in (
        ("v1.2", "v1.2.mp4"),
        ("x.jsonl", "x.mp4"),
        ("X.MP4", "X.MP4"),
        ("deep/er/y", "deep/er/y.mp4"),
    ):
        assert cli.main(["play", "--world", "voxel", "--headless", "--frames", "2", "--record", record]) == 0
        assert f"record: {written}\n" in capsys.readouterr().out
        assert Path(written).is_file()


def test_apart_knows_files_that_are_not_there_yet(place: Path) -> None:
    with pytest.raises(OutputError):
        apart(["sub/../new"], {"there/new": "an input"})
    apart(["new"], {"sub/new": "an input"})


def test_folders_and_files_that_can_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for good in ("sub", "sub/new/er", "new", place / "there" / "x"):
        writable_folder(good)
        writable_file(Path(good) / "a.png")
    writable_file("picture.png")
    for bad in ("picture.png", "picture.png/x", "soft.mp4"):
        with pytest.raises(OutputError, match="is a file, not a folder"):
            writable_folder(bad)
    with pytest.raises(OutputError, match="is a folder; name a file"):
        writable_file("sub")
    os.mkfifo("pipe.mp4")
    for odd in ("pipe.mp4", os.devnull):
        with pytest.raises(OutputError, match="is a pipe or a device"):
            writable_file(odd)
    for odd in ("a" * 300, "a" * 300 + "/b.mp4"):
        with pytest.raises(OutputError, match="name too long"):
            writable_file(odd)
    Path("loose").symlink_to("nowhere")
    with pytest.raises(OutputError, match="link"):
        writable_folder("loose")
    closed = {place / "sub", place / "picture.png"}
    monkeypatch.setattr(outputs.os, "access", lambda path, mode: Path(path).absolute() not in closed)
    for bad in ("sub", "sub/deep/er"):
        with pytest.raises(OutputError, match="cannot be written to"):
            writable_folder(bad)
    with pytest.raises(OutputError, match="cannot be written"):
        writable_file("picture.png")
    assert not Path("new").exists() and not Path("sub/new").exists()


def test_pictures_and_films_of_other_commands_are_looked_at_first(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reverie.demos import beside, edit_scene, gallery, rl
    from reverie.simulator.dream import DreamWorld

    for bad in ("a.txt", "a", "picture.png/x.png", "sub"):
        with pytest.raises(OutputError):
            writable_picture(bad)
    writable_picture("picture.png")
    monkeypatch.setattr(DreamWorld, "load", lambda *rest: pytest.fail("work was begun"))
    before = snapshot(place)
    for options in (
        ("--sheet", "a.txt"),
        ("--film", "a.avi"),
        ("--film", "sub"),
        ("--film", "soft.mp4", "--data", "."),
    ):
        assert beside.main(options) == 2
    for main in (edit_scene.main, gallery.main):
        monkeypatch.setattr(sys, "argv", ["demo", "--out", "picture.png/x.png"])
        assert main() == 2
    assert rl.main(["train", "--out", "picture.png"]) == 2
    assert "Traceback" not in capsys.readouterr().err and snapshot(place) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_somebody_else_is_refused(place: Path) -> None:
    os.chmod("sub", 0o755)
    os.chmod(place, 0o755)
    os.seteuid(65534)
    try:
        with pytest.raises((OutputError, PermissionError)):
            writable_folder("sub/x")
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "--out", "picture.png"),
        ("record", "--out", "picture.png/x"),
        ("clips", "check", ".", "--out", "picture.png"),
        ("train", "finetune", "--data", ".", "--out", "picture.png"),
        ("train", "finetune", "--data", ".", "--out", "picture.png/x"),
        ("train", "all", "--out", "picture.png"),
        ("train", "lift", "--out", "picture.png/x"),
        ("train", "readers", "--data", ".", "--out", "picture.png"),
        ("evaluate", "--out", "picture.png"),
        ("compare", "tiny", "tiny", "--out", "picture.png"),
        ("export", "--model", "tiny", "--out", "picture.png"),
        ("page", "picture.png"),
    ],
)
def test_every_command_looks_at_its_output_first(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    def work(*rest: object, **more: object) -> None:
        raise AssertionError("work was begun")

    from reverie.simulator import clip_check, shards
    from reverie.simulator.dream import DreamWorld
    from reverie.simulator.voxel.world import VoxelWorld

    for owner, name in (
        (DreamWorld, "load"), (VoxelWorld, "__init__"), (clip_check, "examine"), (shards, "write_shard"),
        (finetune, "clips_to_shards"), (train, "clips_to_shards"), (train, "gather"), (queue, "run_queue"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, work)
    before = snapshot(place)
    assert cli.main(list(arguments)) == 2
    assert "picture.png" in capsys.readouterr().err and snapshot(place) == before


@pytest.mark.parametrize(
    ("package", "more"), [("onnx", {}), ("onnxscript", {}), ("peft", {"rank": 2, "export": False})]
)
def test_fine_tuning_misses_a_package_before_it_works(
    place: Path, monkeypatch: pytest.MonkeyPatch, package: str, more: dict[str, object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    before = snapshot(place)
    with pytest.raises(ModelError, match=f"{package}.*pip install"):
        finetune.finetune("tiny-luanti", data=".", out="out", minutes=1, **more)
    assert snapshot(place) == before and not Path("out").exists()
    if package == "peft":
        return
    with pytest.raises(ModelError, match=f"{package}.*pip install"):
        footage.finetune("tiny", data=".", out="out", minutes=1)
    assert snapshot(place) == before and not Path("out").exists()


def test_fine_tuning_without_an_export_needs_no_onnx(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    finetune.check_needs(Path("model"), Path("out"), export=False, rank=0, replay=None)


def test_fine_tuning_does_not_replace_what_it_starts_from(place: Path) -> None:
    from reverie.model.world_model import WorldModel

    config = preset("test")
    save_model(place / "out" / "model", config, WorldModel(config).state_dict())
    before = snapshot(place)
    with pytest.raises(ReverieError, match="the model to start from"):
        finetune.finetune("out/model", data=".", out="there/out", minutes=1, export=False)
    with pytest.raises(ReverieError, match="no training shards to rehearse"):
        finetune.finetune("out/model", data=".", out="other", minutes=1, export=False, replay="sub")
    assert snapshot(place) == before
