"""The `reverie` command: what it prints, what it exits with, and what it refuses, in one line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clocks import CountedTime

from reverie.demos import cli
from reverie.demos.options import RecordOptions
from reverie.demos.play import process_age, read_actions, timing
from reverie.model.errors import ReverieError
from reverie.simulator import Action
from reverie.simulator.clips import Clip, ClipWriter

VOXEL = ("play", "--world", "voxel", "--headless", "--frames", "6")
COMMANDS = ("play", "record", "clips", "train", "evaluate", "compare", "page", "bench", "export")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `reverie ARGUMENTS`."""
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command line is refused."""
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("reverie: ") and err.count("\n") == 1 and err.endswith("\n"), err
    return err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("play", "--frames", "0"), "--frames"),
        (("play", "--frames", "ten"), "--frames"),
        (("play", "--seed", "-1"), "--seed"),
        (("play", "--seed", "1.5"), "--seed"),
        (("play", "--size", "160"), "160x96"),
        (("play", "--size", "161x96"), "multiples of 16"),
        (("play", "--size", "0x96"), "multiples of 16"),
        (("play", "--size", "99999999999999x16"), "multiples of 16"),
        (("play", "--backend", "tpu"), "tpu"),
        (("play", "--device", "tpu"), "tpu"),
        (("play", "--world", "moon"), "moon"),
        (("play", "--fames", "3"), "--fames"),
        (("play", "--headless", "--player", "nobody"), "nobody"),
        (("compare", "tiny"), "B"),
        (("compare", "tiny", "tiny", "--require", "good"), "good"),
        (("compare", "tiny", "nothing-here"), "nothing-here"),
        (("page", "nowhere"), "nowhere"),
        (("play", "--headless", "--actions", "missing.jsonl"), "missing.jsonl"),
        (("play", "--headless", "--backend", "torch"), "onnx"),
        (("compare", "tiny", "tiny-luanti"), "only one has a world"),
        (("compare", "tiny", "tiny", "--keys", "beauty"), "beauty"),
        (("play", "--headless", "--model", "no-such-model"), "no-such-model"),
        ((*VOXEL, "--scene", "no-such-scene"), "no-such-scene"),
        ((*VOXEL, "--scene", "missing.png"), "missing.png"),
        ((*VOXEL, "--scene", "missing.mp4"), "missing."),
        ((*VOXEL, "--device", "cuda"), "--device"),
        ((*VOXEL, "--player", "idle", "--actions", "a.jsonl"), "--actions"),
        (("record",), "--out"),
        (("record", "--out", "d", "--episodes", "0"), "--episodes"),
        (("record", "--out", "d", "--seed", "1000000"), "evaluation"),
        (("record", "--out", "d", "--player", "nobody"), "nobody"),
        (("train",), "PHASE"),
        (("train", "all", "--minutes", "0"), "--minutes"),
        (("train", "all", "--minutes", "nan"), "--minutes"),
        (("train", "finetune", "--data", "missing", "--minutes", "1"), "missing"),
        (("train", "finetune", "--minutes", "1"), "recordings"),
        (("train", "finetune", "--data", ".", "--held", "1"), "--held"),
        (("evaluate", "--clips", "0"), "--clips"),
        (("evaluate", "--seeds", "3,x"), "--seeds"),
        (("clips", "check"), "DIR"),
        (("clips", "mend", "d"), "mend"),
        (("clips", "check", "missing"), "missing"),
        (("export", "--model", "m"), "--out"),
        (("bench", "--settle", "-1"), "--settle"),
        (("bench", "--long", "0"), "--long"),
        (("bench", "--backend", "torch-int8"), "torch-int8"),
    ],
)
def test_bad_input_gets_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_actions_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    turn = Action(forward=True, hotbar=3, camera=(1.5, -2.0))
    path.write_text(json.dumps(turn.to_dict()) + "\n\n{}\n", "utf-8")
    assert read_actions(str(path)) == [turn, Action(), Action()]


@pytest.mark.parametrize("line", ["{", "[]", '{"fly": true}', '{"hotbar": 12}', '{"camera": [1]}', "[" * 100_000])
def test_a_bad_action_is_named_by_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"forward": true}\n\n' + line + "\n", "utf-8")
    assert "line 3" in refused(capsys, *VOXEL[:4], "--actions", str(path))


@pytest.mark.slow
def test_headless_play_reports_and_records(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    movie = tmp_path / "a.mp4"
    code, out, _ = run(capsys, *VOXEL, "--player", "spinner", "--seed", "5", "--record", str(movie), "--json")
    assert code == 0
    report = json.loads(out.splitlines()[-1])
    assert report["frames"] == 6 and report["seed"] == 5 and report["backend"] == "voxel"
    assert (report["width"], report["height"]) == (160, 96)
    assert report["fps"] > 0 and 0 < report["p50_ms"] <= report["p99_ms"]
    assert report["seconds_to_first_frame"] > 0
    assert report["record"] == str(movie)
    clip = Clip.load(movie)
    assert clip.frames.shape == (6, 96, 160, 3)
    assert clip.poses is not None and len(clip.poses) == 6


def test_an_action_file_sets_the_length_and_the_steps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    actions, movie = tmp_path / "a.jsonl", tmp_path / "b.mp4"
    actions.write_text('{"camera": [0, 9]}\n\n{"forward": true}\n', "utf-8")
    code, out, _ = run(capsys, *VOXEL[:4], "--size", "96x64", "--actions", str(actions), "--record", str(movie))
    assert code == 0 and "frames: 3" in out
    clip = Clip.load(movie)
    assert clip.frames.shape == (3, 64, 96, 3)
    assert clip.actions[1] == Action() and clip.actions[2] == Action(forward=True)
    assert clip.actions[0].camera == pytest.approx((0.0, 9.0))


@pytest.mark.slow
def test_without_a_display_it_says_so_and_dreams_to_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux runs without a display")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "play", "--world", "voxel", "--json")
    assert code == 0
    assert err.count("\n") == 1 and "no display" in err and "reverie-dream.mp4" in err
    assert json.loads(out.splitlines()[-1])["frames"] == 200
    assert len(Clip.load(tmp_path / "reverie-dream.mp4")) == 200


def test_a_full_disk_while_recording_keeps_what_was_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, movie = ClipWriter.write, tmp_path / "a.mp4"

    def write_until_full(self: ClipWriter, *values: Any, **named: Any) -> None:
        if self.frames == 4:
            self._abandon(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        write(self, *values, **named)

    monkeypatch.setattr(ClipWriter, "write", write_until_full)
    assert "No space left" in refused(capsys, *VOXEL, "--record", str(movie))
    assert len(Clip.load(movie)) == 4


def test_an_unwritable_recording_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    refused(capsys, *VOXEL, "--record", str(tmp_path / "file" / "a.mp4"))


def test_record_writes_clips(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(
        capsys, "record", "--out", str(tmp_path), "--episodes", "1", "--ticks", "5", "--size", "96x64", "--json"
    )
    assert code == 0
    report = json.loads(out.splitlines()[-1])
    assert report["frames"] == 5
    assert Clip.load(report["clips"][0]).frames.shape == (5, 64, 96, 3)


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: RecordOptions) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.HANDLERS, "record", (RecordOptions, interrupted))
    assert run(capsys, "record", "--out", "d") == (130, "", "")


@pytest.mark.parametrize("error", [ReverieError("two\nlines"), OSError(errno.EACCES, "Permission denied", "x")])
def test_errors_become_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(options: RecordOptions) -> dict[str, Any]:
        raise error

    monkeypatch.setitem(cli.HANDLERS, "record", (RecordOptions, fails))
    refused(capsys, "record", "--out", "d")


def test_help_names_every_command_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main([command, "--help"])
    assert exit.value.code == 0 and "--json" in capsys.readouterr().out


def test_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom reverie.demos.cli import build_parser\nbuild_parser()\n"
        "print(*sorted({'numpy', 'torch', 'numba', 'pygame', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_playing_a_dream_needs_neither_torch_nor_numba() -> None:
    code = (
        "import sys\nimport reverie.demos.play, reverie.demos.window.app\n"
        "from reverie.simulator import DreamWorld, Simulator\nfrom reverie.simulator.players import make_player\n"
        "make_player('explorer', 1)\nprint(*sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_timing_figures() -> None:
    figures = timing([0.01] * 99 + [0.11])
    assert figures["fps"] == pytest.approx(100 / 1.1, rel=1e-3)
    assert figures["p50_ms"] == pytest.approx(10.0)
    assert timing([]) == {"fps": None, "p50_ms": None, "p99_ms": None}


def test_the_age_of_the_process_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = CountedTime()
    clock.clock_gettime = lambda _: clock.perf_counter() + 10**9  # type: ignore[attr-defined]
    monkeypatch.setattr("reverie.demos.play.time", clock)
    first = process_age()
    clock.sleep(5.0)
    assert process_age() - first == pytest.approx(5.0)
    monkeypatch.undo()
    assert process_age() > 0
