"""Whether the judge judges: worlds that dream perfectly, badly in one way, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from reverie.demos import cli
from reverie.model.errors import ReverieError
from reverie.simulator.action import Action
from reverie.simulator.clips import Clip
from reverie.simulator.errors import ClipError
from reverie.simulator.judge import cache, frechet, keys, metrics, truth
from reverie.simulator.judge import evaluate as evaluate_module
from reverie.simulator.judge.compare import compare, decide, lines, paired
from reverie.simulator.judge.corruptions import (
    CORRUPTIONS,
    SHOULD_NOTICE,
    Frozen,
    Noisy,
    Table,
    TrueDreamer,
    examine,
    readable,
)
from reverie.simulator.judge.evaluate import (
    Amounts,
    Truth,
    evaluate,
    judge,
    recorded_truth,
    voxel_truth,
    without_values,
)
from reverie.simulator.judge.keys import DECIDING
from reverie.simulator.judge.probes import PROBES, probe_run
from reverie.simulator.judge.recorded import recorded_runs
from reverie.simulator.voxel.world import VoxelWorld

SIZE = (32, 48)
SEED = 1_000_000
CONTEXT = 6
FEW = Amounts(clips=5, idle=2, revisit=2, edit=3, teacher=2, probe=2)


class Deaf(TrueDreamer):
    """Always walks on, whatever is asked."""

    def heard(self, vector: np.ndarray) -> np.ndarray:
        return Action(forward=True).to_vector()


class Stubborn(TrueDreamer):
    """Does not take edits."""

    def edit(self, state: list, image: np.ndarray, mask: None, strength: float) -> list:
        return state


@pytest.fixture(scope="module")
def true() -> Truth:
    return voxel_truth(FEW, SEED, CONTEXT, SIZE, states=True)


@pytest.fixture(scope="module")
def table(true: Truth) -> Table:
    return examine(true, readable(4, 1, 2))


@pytest.mark.slow
def test_teacher_goes_the_same_long_ways_as_the_dream() -> None:
    known = readable(2, 0, 3)
    frozen, noisy = Frozen(known.truth), Noisy(known.truth)
    found = frechet.judge_far_teacher(frozen, noisy, known.long, known.played, 2)
    assert found["teacher_ways"] == 2 and "teacher_frechet_90s" not in found, "as far as the ways go"
    assert found["teacher_frechet_16s"] > 0.5 and found["teacher_over_16s"] > 2
    again = frechet.judge_far_teacher(noisy, frozen, known.long, known.played, 2)
    assert again["teacher_over_16s"] == pytest.approx(1 / found["teacher_over_16s"], rel=0.01)


@pytest.mark.slow
def test_the_truth_is_perfect(table: Table) -> None:
    got = table.truth
    for horizon in (1, 8, 32):
        assert got[f"psnr_{horizon}"] == got[f"true_psnr_{horizon}"] == metrics.PSNR_CAP
        assert got[f"ssim_{horizon}"] == pytest.approx(1.0)
        assert got[f"copy_psnr_{horizon}_moving"] < 40
        assert got[f"gain_{horizon}_ci"][0] > 0
    assert got["sharpness_32"] == pytest.approx(1.0)
    assert got["action_sensitivity"] > 10
    assert got["idle_drift"] == got["true_idle_drift"] < 5
    for seconds in truth.REVISIT_SECONDS:
        assert got[f"revisit_psnr_{seconds}s"] == got[f"true_revisit_psnr_{seconds}s"]
        assert got[f"revisit_psnr_{seconds}s"] > got[f"elsewhere_psnr_{seconds}s"] + 5
    assert got["edit_gain"] == got["true_edit_gain"] > 20
    assert got["action_f1"] == got["true_action_f1"] > 0.75 and got["camera_deg"] == got["true_camera_deg"] < 0.5
    assert got["tasks_16"] == got["true_tasks_16"] > 0.9 and got["frechet_16s"] == pytest.approx(0.0, abs=1e-3)
    for name in PROBES:
        assert got[f"probe_{name}"] == got[f"true_probe_{name}"] > 30
        assert got[f"copy_probe_{name}"] < 1, "a picture that never changes passes no probe"


@pytest.mark.slow
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_is_noticed(table: Table, corruption: str) -> None:
    for key in SHOULD_NOTICE[corruption]:
        assert table.notices(corruption, key), (key, table.truth[key], table.corrupted[corruption][key])
    assert not [pair for pair in table.missed() if pair[0] == corruption]


@pytest.mark.slow
def test_corruptions_leave_their_own_trace(table: Table) -> None:
    frozen, noisy, blurred = (table.corrupted[name] for name in ("frozen frames", "noise", "blurred frames"))
    for horizon in (1, 8, 32):
        assert frozen[f"psnr_{horizon}"] == frozen[f"copy_psnr_{horizon}"] and frozen[f"gain_{horizon}"] == 0
    assert frozen["action_sensitivity"] == frozen["idle_drift"] == 0
    assert noisy["sharpness_32"] > 1.5 and blurred["sharpness_32"] < 0.7
    assert table.corrupted["another seed"]["psnr_1"] < table.truth["copy_psnr_1"]
    assert table.corrupted["shuffled actions"]["idle_drift"] == table.truth["idle_drift"], "no keys, no confusion"
    rows = table.markdown()
    assert len(rows) == 2 + len(keys.figures(table.truth)) and not any("elsewhere" in row for row in rows)


@pytest.mark.slow
def test_a_deaf_world_and_one_that_takes_no_edits_are_seen(true: Truth, table: Table, tmp_path: Path) -> None:
    few = replace(true, revisits={1: true.revisits[1]}, probes={})
    deaf, stubborn = judge(Deaf(true), few, tmp_path)[0], judge(Stubborn(true), few, tmp_path)[0]
    assert deaf["action_sensitivity"] == 0
    assert deaf["psnr_32"] < table.truth["psnr_32"] - 10
    assert deaf["idle_drift"] > table.truth["idle_drift"] + 5
    assert deaf["revisit_psnr_1s"] < table.truth["revisit_psnr_1s"] - 5
    assert stubborn["edit_gain"] < -20


@pytest.mark.slow
def test_every_figure_has_a_meaning(table: Table) -> None:
    names = [key.name for key in keys.figures(table.truth)]
    assert {f"probe_{name}" for name in PROBES} <= set(names)
    assert all(keys.known(name) for name in names) and all(keys.find(name).meaning for name in names)
    assert set(DECIDING) <= set(names)


@pytest.mark.slow
def test_runs_follow_from_the_seed(true: Truth) -> None:
    again = voxel_truth(Amounts(2, 1, 1, 1, 1), SEED, CONTEXT, SIZE)
    for first, second in zip(true.played, again.played):
        assert first.label == second.label
        assert (first.frames == second.frames).all() and (first.actions == second.actions).all()
    assert (true.edits[0].image == again.edits[0].image).all()
    run = again.played[0]
    assert run.frames.shape == (truth.HORIZON, *SIZE, 3) and len(run.start) == CONTEXT
    assert len({run.label.split()[1] for run in true.played}) > 3, "varied scenes"


def test_a_revisit_turns_all_the_way_back() -> None:
    for seconds in truth.REVISIT_SECONDS:
        yaws = [action.camera[1] for action in truth.revisit_script(seconds)]
        assert sum(yaws) == 0 and max(np.cumsum(yaws)) >= 180
        assert len(yaws) == 2 * truth.TURN_TICKS + 20 * seconds


@pytest.mark.slow
def test_recorded_runs(true: Truth, tmp_path: Path) -> None:
    world = VoxelWorld(SIZE)
    state, player, _ = truth.arrive(world, SEED)
    clip, _ = truth.film(world, state, lambda now: player.act(world.senses(now)), 2 * (CONTEXT + truth.HORIZON))
    clip.events = [[] for _ in clip.actions]
    clip.events[-1] = [{"type": "edit"}]
    clip.save(tmp_path / "a", lossless=True)
    got = recorded_truth(str(tmp_path), FEW, 5, CONTEXT, SIZE)
    again = recorded_truth(str(tmp_path), FEW, 5, CONTEXT, SIZE)
    assert [run.label for run in got.played] == [run.label for run in again.played]
    assert len(got.played) == FEW.clips and not got.edits and got.idle[0].frames is None
    for run in got.played:
        first = int(run.label.split()[1])
        assert first + CONTEXT + truth.HORIZON < len(clip), "not over the edit"
        assert (run.frames == clip.frames[first + CONTEXT : first + CONTEXT + truth.HORIZON]).all()
        assert (run.actions[0] == clip.actions[first + CONTEXT - 1].to_vector()).all()
    with pytest.raises(ClipError, match="no recording"):
        recorded_truth(str(tmp_path / "nowhere"), FEW, 5, CONTEXT, SIZE)


@pytest.mark.slow
def test_recordings_go_as_far_as_they_are_long(tmp_path: Path) -> None:
    frames = np.arange(400, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2).repeat(3, 3)
    Clip(frames, [Action()] * 400).save(tmp_path / "a", lossless=True)
    choose = partial(recorded_runs, str(tmp_path), seed=0, context=4, size=(16, 16))
    ways = frechet.recorded_ways(choose)
    assert len(ways) == frechet.RUNS[16] and ways[0].ticks == frechet.late_ticks(16)
    for run in ways:
        assert run.frames is not None and (run.frames[:, 0, 0, 0] == (run.first[0, 0, 0] + run.ticks) % 256).all()
    Clip(frames[:300], [Action()] * 300).save(tmp_path / "a", lossless=True)
    assert frechet.recorded_ways(choose) == []


def test_psnr_and_ssim() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (2, 32, 48, 3), np.uint8)
    assert (metrics.psnr(frame, frame) == metrics.PSNR_CAP).all()
    off = frame.copy()
    off[1] = np.where(frame[1] < 128, frame[1] + 16, frame[1] - 16)
    assert metrics.psnr(off, frame)[1] == pytest.approx(20 * np.log10(255 / 16))
    region = np.zeros((2, 32, 48), bool)
    assert (metrics.psnr(off, frame, region) == metrics.PSNR_CAP).all()
    region[1, 3:9, 4:9] = True
    assert metrics.psnr(off, frame, region)[1] == pytest.approx(20 * np.log10(255 / 16))
    assert metrics.ssim(frame, frame) == pytest.approx(1.0)
    assert abs(metrics.ssim(frame[:1], frame[1:])[0]) < 0.1
    flat = np.full((32, 48, 3), 100, np.uint8)
    brighter = np.full((32, 48, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(flat, brighter) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))
    assert metrics.mean_change(flat, brighter) == 20


def test_edit_gain() -> None:
    flat = np.full((32, 48, 3), 100, np.uint8)
    edited = flat.copy()
    edited[4:9, 4:9] = 200
    assert metrics.edit_gain(edited, edited, flat) == pytest.approx(metrics.PSNR_CAP - 20 * np.log10(255 / 100))
    assert metrics.edit_gain(flat, edited, flat) == -metrics.edit_gain(edited, edited, flat)
    faded = edited.copy()
    faded[4:9, 4:9] = 150
    assert metrics.edit_gain(faded, edited, flat) == pytest.approx(0.0)


def test_bootstrap() -> None:
    values = np.random.default_rng(1).normal(30, 2, 64)
    found = metrics.bootstrap(values)
    assert found == metrics.bootstrap(values)
    assert found.value == pytest.approx(values.mean()) and found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 8, rel=0.15)
    assert metrics.bootstrap(np.array([3.0])) == (3.0, 3.0, 3.0)
    pairs = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert metrics.bootstrap(pairs, metrics.ratio_of_sums).value == pytest.approx(4 / 6)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_evaluate_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    from reverie.model.config import preset
    from reverie.model.weights import TEACHER, save_model
    from reverie.model.world_model import WorldModel

    monkeypatch.setattr(truth, "REVISIT_SECONDS", (1,))
    monkeypatch.setattr(truth, "IDLE_SECONDS", 1)
    torch.manual_seed(0)
    folder, out = tmp_path / "model", tmp_path / "out"
    for file in ("model.safetensors", TEACHER):
        save_model(folder, preset("test"), WorldModel(preset("test")).state_dict(), file=file)
    monkeypatch.setattr(evaluate_module, "PROBES", {name: PROBES[name] for name in ("jump", "turn")})
    monkeypatch.setattr(evaluate_module, "judge_tasks", lambda *_: {})  # slow; tests/test_readers.py has it
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    settings = {"clips": 2, "quick": True, "out": str(out), "backend": "torch", "device": "cpu"}
    first = evaluate(str(folder), **settings)
    written = json.loads((out / "report.json").read_text())
    assert written == first and first["cached"] is False
    second = evaluate(str(folder), **settings, fresh=True)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}, "the same command twice gives the same numbers"
    third = evaluate(str(folder), **{**settings, "out": str(tmp_path / "copy")})
    assert third["cached"] and {**third, "cached": False, "out": str(out)} == second
    copied = {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*.*")}
    assert copied == {path.relative_to(out) for path in out.rglob("*.*")}, "all files are kept"

    assert first["clips"] == 2 and first["seeds"] == [SEED, SEED + 1] and first["backend"] == "torch-cpu"
    assert first["tokenizer_psnr"] is None and first["teacher_clips"] == 2
    for name in ("psnr_1", "copy_psnr_8", "teacher_psnr_32", "idle_drift", "revisit_psnr_1s", "action_sensitivity"):
        low, high = first[f"{name}_ci"]
        assert low <= first[name] <= high
    curves = json.loads((out / "curves.json").read_text())
    assert len(curves["psnr"]) == truth.HORIZON and curves["psnr"][0] == pytest.approx(first["psnr_1"], abs=1e-3)
    assert (out / "sheet.png").stat().st_size > 1000
    films = json.loads((out / "films.json").read_text())["films"]
    assert [film["name"] for film in films] == ["00", "01", "jump", "turn"]
    values = json.loads((out / "values.json").read_text())
    assert np.mean(values["psnr_8"]) == pytest.approx(first["psnr_8"], abs=1e-3)

    both = [
        "compare",
        str(folder),
        str(folder),
        "--clips",
        "2",
        "--quick",
        "--out",
        str(tmp_path / "both"),
        "--backend",
    ]
    both += ["torch", "--device", "cpu", "--json"]
    for requirement, code in (("not-worse", 0), ("better", 1)):
        assert cli.main([*both, "--require", requirement]) == code
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert found["verdict"] == "same" and found["accepted"] is (code == 0)
    assert all(row["improvement_ci"] == [0, 0] for row in found["keys"].values()), "a re-run is no difference"
    assert len(lines(found)) == 1 + len(found["keys"])
    pages = [path.relative_to(tmp_path / "both").as_posix() for path in (tmp_path / "both").rglob("*.html")]
    assert sorted(pages) == [
        "blind.html",
        *(f"{one}/{name}.html" for one in ("first", "second") for name in ("blind", "page")),
    ]
    with pytest.raises(ReverieError, match="psnr_9"):
        compare(str(folder), str(folder), keys=("psnr_9",), clips=2, quick=True, out=str(tmp_path / "both"),
                backend="torch", device="cpu")  # fmt: skip


def test_what_is_kept_hangs_on_everything_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.entry({"seed": 1}) == cache.entry({"seed": 1}) != cache.entry({"seed": 2})
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"a")
    before = cache.model_version(tmp_path)
    weights.write_bytes(b"b")
    assert cache.model_version(tmp_path) != before
    out = tmp_path / "out"
    (out / "films").mkdir(parents=True)
    for name in (cache.REPORT, "films/a.webp"):
        (out / name).write_text('{"psnr_1": 1.0}')
    kept = cache.entry({"seed": 1})
    assert cache.recall(kept, tmp_path / "nothing") is None
    cache.remember(kept, out, [out / cache.REPORT, out / "films/a.webp"])
    assert cache.recall(kept, tmp_path / "back") == {"psnr_1": 1.0}
    assert (tmp_path / "back/films/a.webp").is_file()
    (kept / cache.REPORT).write_text("{")
    assert cache.recall(kept, tmp_path / "again") is None, "a damaged one is made anew"


def scores_of_clips(rng: np.random.Generator, clips: int = 64) -> np.ndarray:
    """PSNR of clips as they come: easy ones and hard ones, 4 dB around 18."""
    return rng.normal(18, 4, clips)


@pytest.mark.slow
def test_compare_finds_a_planted_difference_and_no_other() -> None:
    rng = np.random.default_rng(4)
    alarms = found = 0
    for _ in range(40):
        easy = scores_of_clips(rng)
        first = {key: easy + rng.normal(0, 0.6, 64) for key in ("psnr_1", "psnr_8", "psnr_32")}
        again = {key: easy + rng.normal(0, 0.6, 64) for key in first}
        better = {key: values + 0.3 + rng.normal(0, 0.3, 64) for key, values in first.items()}
        alarms += decide(first, again, tuple(first)) != "same"
        found += decide(first, better, tuple(first)) == "better"
        assert decide(better, first, tuple(first)) in ("worse", "same")
    assert found >= 38, "0.3 dB are found, although clips differ by 4 dB"
    assert alarms <= 5, "a re-run with other noise is no difference"
    unpaired = metrics.bootstrap(easy)
    assert unpaired.high - unpaired.low > 1, "unpaired, 0.3 dB would drown"


class Grainy(TrueDreamer):
    """The truth under some grain: `grain` dB below 20 dB, drawn by `stream`."""

    grain, stream = 0.0, 0

    def spoiled(self, frame: np.ndarray, tick: int) -> np.ndarray:
        rng = np.random.default_rng([self.stream, tick, int(frame[::7, ::7].sum())])
        noise = rng.normal(0, 25.5 * 10 ** (self.grain / 20), frame.shape)
        return np.clip(frame * 0.4 + 76.5 + noise, 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_the_judge_finds_a_planted_difference(true: Truth, tmp_path: Path) -> None:
    few = replace(true, idle=true.idle[:1], revisits={}, edits=[], probes={})

    def values(grain: float, stream: int) -> dict:
        kind = type("Planted", (Grainy,), {"grain": grain, "stream": stream})
        return without_values(judge(kind(few), few, tmp_path)[0])[1]

    plain, again, worse = values(0.0, 0), values(0.0, 1), values(1.0, 0)
    chosen = ("psnr_8", "psnr_32")
    assert -0.5 < paired("psnr_32", plain["psnr_32"], worse["psnr_32"]).better.value < -0.1
    assert decide(plain, worse, chosen) == "worse" and decide(worse, plain, chosen) == "better"
    assert decide(plain, again, chosen) == "same", "other noise of the same kind"


def test_compare_knows_which_way_is_better() -> None:
    values = np.linspace(1, 2, 16)
    assert paired("psnr_8", values, values + 1).says == "better"
    assert paired("idle_drift", values, values + 1).says == "worse"
    sharp, dull, noisy = (np.stack([values * ratio, values], axis=1) for ratio in (0.9, 0.4, 1.7))
    assert paired("sharpness_32", dull, sharp).says == "better" == paired("sharpness_32", noisy, sharp).says
    assert paired("sharpness_32", sharp, noisy).better.value == pytest.approx(-0.6)
    up, down = {"psnr_8": values, "idle_drift": values}, {"psnr_8": values + 1, "idle_drift": values + 1}
    assert decide(up, down, ("psnr_8", "idle_drift")) == "mixed"
    with pytest.raises(ReverieError, match="best"):
        compare("tiny", "tiny", require="best")


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_shows_its_law(name: str) -> None:
    scene = probe_run(VoxelWorld(SIZE), name, SEED + 1, CONTEXT)
    frames = scene.run.frames
    assert frames is not None and len(frames) == len(scene.run.actions) >= max(scene.judged)
    assert len(scene.lawless) == len(scene.judged) and len(scene.run.start) == CONTEXT
    broken = frames.copy()
    broken[[tick - 1 for tick in scene.judged]] = scene.lawless
    assert scene.score(frames) > 30 and scene.score(broken) == -scene.score(frames)


def test_evaluate_refuses_worlds_of_training() -> None:
    with pytest.raises(ReverieError, match="trained on"):
        evaluate("tiny", seed=3)


@pytest.mark.slow
def test_true_and_dreamed_frames_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from PIL import Image

    from reverie.demos import beside
    from reverie.model.config import preset
    from reverie.model.weights import save_model
    from reverie.model.world_model import WorldModel
    from reverie.simulator.video import iterate_video

    torch.manual_seed(0)
    config = preset("test")
    height, width = config.size
    save_model(tmp_path / "model", config, WorldModel(config).state_dict())
    written = [str(tmp_path / name) for name in ("sheet.png", "film.mp4")]
    arguments = ["--model", str(tmp_path / "model"), "--seconds", "2", "--clips", "2"]
    assert beside.main([*arguments, "--sheet", written[0], "--film", written[1]]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["runs"]) == 2 and len(said["psnr"]) == beside.PARTS
    frames = np.stack(list(iterate_video(Path(written[1]), 0, 100)))
    assert frames.shape == (40, 2 * height, 2 * width, 3)
    assert Image.open(written[0]).height > 4 * height
    true = np.random.default_rng(0).integers(256, size=(1, 20, 8, 8, 3), dtype=np.uint8)
    grey = beside.figures(true // 2 + 64, true)
    assert beside.figures(true, true)["detail"] == pytest.approx([1.0] * beside.PARTS)
    assert all(0.4 < value < 0.6 for value in grey["contrast"] + grey["change"])
    assert beside.main(["--model", "nobody"]) == 2
