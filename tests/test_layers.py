"""Who may import whom (the four folders, and the libraries that belong to one of them only)."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("model", "simulator", "env", "demos")
"""From the bottom up: a layer imports itself and those before it."""
AT_HOME = {"pygame": {"demos"}, "gymnasium": {"env", "demos"}, "stable_baselines3": {"demos"}}
"""Libraries that only these layers import."""
TRAINING_PATH = ("reverie.model.training", "reverie.simulator.voxel", "reverie.simulator.players")
"""What runs while a model is trained: the phases, and the world and players that their data comes from."""
TRAINING_NEEDS = {"torch", "numpy", "numba", "safetensors", "einops", "tqdm"}
OPTIONAL = {"peft"}
"""Of an extra: only where a user asks for what it does."""
IMPORTED_MODULES = 60

FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a file imports, wherever in the file it does."""
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def dotted(path: Path) -> str:
    """The module name of a file, such as `reverie.model.config`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(["reverie", *(parts[:-1] if parts[-1] == "__init__" else parts)])


MODULES = {dotted(path): path for path in FILES}


def module_of(name: str) -> str | None:
    """The module of ours that a dotted name lies in, or None."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def misplaced_imports(path: Path) -> list[str]:
    """What a file imports and should not, one line each."""
    layer = path.relative_to(ROOT).parts[0]
    wrong = []
    for line, name in imports(path):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}"
        if top in LAYERS or top == "tests":
            wrong.append(f"{where}: bare import of {name}")
        elif top in AT_HOME and layer not in AT_HOME[top]:
            wrong.append(f"{where}: {top} belongs to {' and '.join(sorted(AT_HOME[top]))}")
        elif top == "reverie" and target not in LAYERS:
            wrong.append(f"{where}: there is no {name}")
        elif top == "reverie" and LAYERS.index(target) > LAYERS.index(layer):
            wrong.append(f"{where}: {layer} imports {name} from a layer above it")
    return wrong


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_downwards(layer: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parts[0] == layer]
    assert files
    assert not [line for path in files for line in misplaced_imports(path)]


DREAM_SIDE = ("reverie.model", "reverie.simulator.dream")
"""What runs in a dream. Nothing of the voxel world does: all that a dream knows of it was learned."""


def test_nothing_of_the_voxel_world_runs_in_a_dream() -> None:
    files = {name: path for name, path in MODULES.items() if name.startswith(DREAM_SIDE)}
    assert len(files) > 20
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files.values()
        for line, name in imports(path)
        if inside(name, ("reverie.simulator.voxel",))
    ]
    assert not wrong


def test_the_rules_catch_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import pygame\nimport model\nfrom reverie.env import spaces\nfrom ..env.tasks import Task\n"
    (tmp_path / "simulator").mkdir()
    path = tmp_path / "simulator" / "bad.py"
    path.write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    wrong = misplaced_imports(path)
    assert len(wrong) == 4 and all(f"bad.py:{line}:" in text for line, text in enumerate(wrong, start=1))


def imports_at_start(path: Path) -> Iterator[str]:
    """What importing a file imports: neither inside functions nor for type checkers only."""
    waiting: list[ast.AST] = list(ast.parse(path.read_text("utf-8")).body)
    lines = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines.add(node.lineno)
        waiting += ast.iter_child_nodes(node)
    yield from (name for line, name in imports(path) if line in lines)


@pytest.mark.slow
def test_there_are_no_import_cycles() -> None:
    graph = {
        module: {found for name in imports_at_start(path) if (found := module_of(name)) and found != module}
        for module, path in MODULES.items()
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
    assert set(order) == set(MODULES)


@pytest.mark.slow
def test_training_needs_only_the_promised_libraries() -> None:
    """Whatever these modules import, and whatever is imported at once by what they import."""
    start = [module for module in MODULES if inside(module, TRAINING_PATH)]
    waiting, seen, wrong = list(start), set[str](), list[str]()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        path = MODULES[module]
        at_once = set(imports_at_start(path))
        for name in {name for _, name in imports(path)} if module in start else at_once:
            top = name.partition(".")[0]
            if top in OPTIONAL and name not in at_once:
                continue
            if top == "reverie":
                waiting += [found] if (found := module_of(name)) else []
            elif top not in TRAINING_NEEDS and top not in sys.stdlib_module_names:
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert len(seen) > len(start)
    assert not wrong


def import_in_new_process(module: str) -> set[str]:
    """The modules that an import alone loads."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    assert out.stderr == "", "importing is silent"
    return set(out.stdout.split())


def top_level(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_the_simulator_loads_little() -> None:
    """What is quick to import is few modules of the standard library, and none of a library."""
    modules = import_in_new_process("reverie.simulator")
    assert len(modules) < IMPORTED_MODULES
    assert top_level(modules) <= sys.stdlib_module_names | {"reverie"}


def test_importing_the_environments_loads_no_world() -> None:
    names = top_level(import_in_new_process("reverie.env"))
    assert "gymnasium" in names
    assert not {"torch", "numba", "av", "onnxruntime", "stable_baselines3"} & names


def test_the_dream_environment_needs_neither_torch_nor_the_voxel_world() -> None:
    names = top_level(import_in_new_process("reverie.env.dream_env"))
    assert not {"torch", "numba", "pygame"} & names
