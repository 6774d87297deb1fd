"""What a player installs: playing needs no extra, and a command that needs one says which before it does anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from reverie.demos import cli
from reverie.model import startup
from reverie.model.errors import ReverieError
from reverie.model.startup import EXTRAS, MissingExtra, require

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BASE = {
    "numpy",
    "numba",
    "safetensors",
    "tqdm",
    "pillow",
    "av",
    "pygame",
    "gymnasium",
    "onnxruntime",
    "onnxruntime-gpu",
}
NOT_BASE = ("torch", "einops", "onnx", "onnxscript", "stable_baselines3", "peft", "transformers", "accelerate")
"""Modules that a base installation lacks."""
WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_BASE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def packages(requirements: list[str]) -> set[str]:
    """The names in requirements."""
    return {re.split(r"[\[<>=;\s]", line)[0] for line in requirements}


def base_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code where nothing but the base can be imported."""
    command = [sys.executable, "-c", WITHOUT + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})


def reverie(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`reverie ARGUMENTS` there."""
    return base_python(f"from reverie.demos.cli import main\nsys.exit(main({list(arguments)!r}))", folder)


def test_the_base_is_what_playing_needs() -> None:
    assert packages(PROJECT["dependencies"]) == BASE
    runtimes = [line for line in PROJECT["dependencies"] if line.startswith("onnxruntime")]
    assert len(runtimes) == 2 and all(";" in line for line in runtimes), "they share a folder: one for each platform"


def test_extras_build_on_each_other() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(EXTRAS) | {"gpu", "dev"} == set(extras)
    for name in ("rl", "lora"):
        assert "reverie[train]" in extras[name]
    everything = " ".join(extras["dev"])
    assert all(name in everything for name in ("rl", "lora", "train"))
    assert "torch>=2.11,<2.14" in extras["train"], "a CPU build may be had, and its CUDA is onnxruntime-gpu's"


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_require_looks_for_is_what_the_extra_installs(extra: str) -> None:
    def all_of(name: str) -> set[str]:
        found = set()
        for line in PROJECT["optional-dependencies"][name]:
            inner = re.fullmatch(r"reverie\[([\w,]+)\]", line)
            found |= set().union(*map(all_of, inner[1].split(","))) if inner else packages([line])
        return found

    assert {startup.INSTALLED_NAMES.get(module, module) for module in EXTRAS[extra]} <= all_of(extra)


def test_a_missing_extra_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_installed", lambda module: module not in ("torch", "stable_baselines3"))
    with pytest.raises(MissingExtra) as caught:
        require("rl", "an agent")
    assert str(caught.value) == "an agent needs torch and stable-baselines3: pip install 'reverie[rl]'"
    assert isinstance(caught.value, ReverieError) and isinstance(caught.value, ImportError)
    require("train", "this", ("einops",))


def test_what_is_blocked_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert not startup._installed("onnx") and not startup._installed("no_such_module")
    assert startup._installed("json") and startup._installed("numpy")


NEEDY = [
    (("train", "all"), "train", "torch"),
    (("train", "dynamics"), "train", "torch"),
    (("train", "readers"), "train", "torch"),
    (("train", "finetune", "--data", "."), "train", "torch"),
    (("evaluate",), "train", "torch"),
    (("compare", "tiny", "tiny"), "train", "torch"),
    (("export", "--model", "tiny", "--out", "out"), "train", "torch"),
    (("bench", "--backend", "torch"), "train", "torch"),
    (("play", "--headless", "--frames", "1", "--backend", "torch"), "train", "torch"),
    (("play", "--headless", "--frames", "1", "--backend", "torch-bf16"), "train", "torch"),
]


@pytest.mark.parametrize(("arguments", "extra", "module"), NEEDY)
def test_a_command_says_which_extra_it_wants_before_any_work(
    arguments: tuple[str, ...], extra: str, module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(startup, "_installed", lambda name: name not in NOT_BASE)
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and f"pip install 'reverie[{extra}]'" in err and module in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [("peft", ("train", "finetune", "--data", ".", "--low-rank", "4"), "lora"),
     ("onnx", ("train", "finetune", "--data", "."), "train"),
     ("onnxscript", ("export", "--model", "m", "--out", "o"), "train"),
     ("einops", ("evaluate",), "train")],
)  # fmt: skip
def test_one_missing_package_is_enough(
    missing: str, arguments: tuple[str, ...], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(startup, "_installed", lambda name: name != missing)
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert f"needs {missing}: pip install 'reverie[{extra}]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["readers", "rl train --env voxel", "luanti_agent --agent a --out o"])
def test_studies_say_it_too(line: str, tmp_path: Path) -> None:
    name = line.split()[0]
    run = f"runpy.run_module('reverie.demos.{name}', run_name='__main__')"
    done = base_python(f"import runpy\nsys.argv = {line.split()!r}\n{run}", tmp_path)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    assert done.stderr.count("\n") == 1 and "pip install 'reverie[" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_blocker_blocks(tmp_path: Path) -> None:
    assert "No module named 'torch'" in base_python("import torch", tmp_path).stderr


@pytest.mark.slow
def test_dreams_play_record_save_open_and_are_edited(tmp_path: Path) -> None:
    done = reverie(tmp_path, "play", "--headless", "--frames", "3", "--device", "cpu", "--record", "a.mp4", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == 3
    done = base_python(
        "import numpy as np\nfrom reverie.simulator import Action, DreamWorld, Simulator\n"
        "world = DreamWorld.load('tiny', device='cpu')\nsim = Simulator(world, 'plains', 7)\n"
        "sim.step(Action(forward=True))\nimage = sim.frame.copy()\nimage[30:54, 64:88] = 200\nsim.edit(image)\n"
        "sim.edit(image, strength=0.3)\nsnap = sim.snapshot()\nsim.branch()\nsim.step(Action())\nsim.rewind(1)\n"
        "sim.restore(snap)\nsim.save('a.reverie')\nother = Simulator.open('a.reverie')\n"
        "a, b = sim.step(Action(jump=True)), other.step(Action(jump=True))\nassert np.array_equal(a, b)",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_environments_run(tmp_path: Path) -> None:
    done = base_python(
        "import gymnasium, numpy as np, reverie.env\n"
        "for name in ('Dream', 'Voxel'):\n"
        "    env = gymnasium.make(f'reverie/{name}-v0', task='wood')\n    env.reset(seed=1)\n"
        "    env.step(env.action_space.sample())\n"
        "    envs = gymnasium.make_vec(f'reverie/{name}-v0', num_envs=2, vectorization_mode='vector_entry_point')\n"
        "    envs.reset(seed=1)\n    assert envs.step(envs.action_space.sample())[0].shape == (2, 96, 160, 3)\n"
        "    envs.close()\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_voxel_world_plays_and_recordings_are_checked(tmp_path: Path) -> None:
    done = reverie(tmp_path, "play", "--world", "voxel", "--headless", "--frames", "2")
    assert done.returncode == 0, done.stderr
    done = reverie(tmp_path, "record", "--out", "clips", "--episodes", "1", "--ticks", "14")
    assert done.returncode == 0, done.stderr
    done = reverie(tmp_path, "clips", "check", "clips")
    assert done.returncode == 0, done.stderr


def test_the_window_and_its_modules_load(tmp_path: Path) -> None:
    done = base_python("import reverie.demos.window.app, reverie.demos.play, reverie.demos.bench", tmp_path)
    assert done.returncode == 0, done.stderr


def test_make_installs_the_base_to_play_and_everything_to_test() -> None:
    rules: dict[str, Any] = {}
    for line in (ROOT / "Makefile").read_text("utf-8").splitlines():
        if match := re.match(r"^([\w$()./-]+):(?!=)\s*(.*)", line):
            rules[match[1]] = recipe = [match[2]]
        elif line.startswith("\t"):
            recipe.append(line.strip())
    assert rules["play"][0].endswith(".installed") and "--editable ." in " ".join(rules["$(VENV)/.installed"])
    for target in ("test", "fast", "check"):
        assert ".installed-dev" in rules[target][0]
    assert '".[dev]"' in " ".join(rules["$(VENV)/.installed-dev"])
    steps = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert steps.index("make check") < steps.index("make test")
