"""What is installed: every module and data file of the four folders reaches the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("model", "simulator", "env", "demos")
IGNORED = ("__pycache__",)


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def shipped(path: Path) -> bool:
    return path.is_file() and not set(IGNORED) & set(path.parts)


def source_files() -> list[Path]:
    """Every module of ours, relative to the root."""
    files = [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py") if shipped(path)]
    return sorted(path.relative_to(ROOT) for path in files)


def data_files(pyproject: dict[str, Any]) -> list[Path]:
    """Every file that `package-data` names, relative to the root."""
    settings = pyproject["tool"]["setuptools"]
    files = [
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in (ROOT / settings["package-dir"][package]).glob(pattern)
    ]
    return sorted(path.relative_to(ROOT) for path in files if shipped(path))


def test_every_folder_with_modules_is_listed(pyproject: dict[str, Any]) -> None:
    folders = {path.parent for path in source_files()}
    listed = pyproject["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed))
    assert {".".join(["reverie", *folder.parts]) for folder in folders} == set(listed)


def test_every_package_has_an_init() -> None:
    for folder in {path.parent for path in source_files()}:
        assert (ROOT / folder / "__init__.py").is_file(), folder
    assert not (ROOT / "__init__.py").exists(), "the distribution's root is a namespace"


def test_nothing_in_the_packages_is_ignored_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = "\n".join(map(str, source_files()))
    out = subprocess.run(
        ["git", "check-ignore", "--stdin"], input=names, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert out.stdout == ""


def test_console_script_and_versions(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert project["name"] == "reverie"
    module, _, function = project["scripts"]["reverie"].partition(":")
    path = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")
    assert f"def {function}(" in path.read_text("utf-8")
    required = {line.split(";")[0].split(">")[0].split("[")[0].strip() for line in project["dependencies"]}
    assert "gymnasium" in required
    assert not [line for line in project["dependencies"] if "gymnasium[" in line], "its extras break pygame"
    assert not {"stable-baselines3", "onnx", "torch"} & required, "these are extras"


@pytest.fixture(scope="module")
def wheel(pyproject: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in a wheel built offline, by setuptools itself, from a clean copy."""
    clean = tmp_path_factory.mktemp("clean")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clean / name)
    for path in (*source_files(), *data_files(pyproject)):
        (clean / path).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            shutil.copy(ROOT / path, clean / path)
        else:
            (clean / path).write_bytes(b"stands for a file that may be large")
    out = clean / "dist"
    out.mkdir()
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=clean, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    (built,) = out.glob("reverie-*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_module(wheel: set[str]) -> None:
    modules = {name for name in wheel if name.endswith(".py")}
    assert modules == {f"reverie/{path.as_posix()}" for path in source_files()}


def test_the_wheel_has_the_package_data(wheel: set[str], pyproject: dict[str, Any]) -> None:
    expected = {f"reverie/{path.as_posix()}" for path in data_files(pyproject)}
    assert expected <= wheel
    data = {name for name in wheel if not name.endswith(".py") and ".dist-info/" not in name}
    assert data == expected


def test_the_wheel_has_the_command(wheel: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)
    assert any(name.endswith("/LICENSE") for name in wheel)
