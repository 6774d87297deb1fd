"""What libraries need of their surroundings: telemetry, cores, caches, a home folder, a display."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reverie.model import cores, startup
from reverie.model.cores import allowed_cores, cpu_quota, threads_asked_for, usable_cores
from reverie.model.startup import TELEMETRY_OFF, limit_torch, private_folder, user_cache

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534
NO_ENTRY = 61234
"""A number that no list of users has."""
ENOUGH = 64
"""More cores than any quota here."""


def python(code: str, *, drop: tuple[str, ...] = (), **values: str) -> str:
    """What `code` prints in a new process, without some environment variables and with others."""
    environment = {name: value for name, value in os.environ.items() if name not in drop} | values
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Telemetry


def test_telemetry_is_off_before_onnxruntime_is_loaded_unless_the_user_says_otherwise() -> None:
    code = (
        "import os, sys, reverie.simulator.dream\n"
        f"print('onnxruntime' in sys.modules, os.environ.get({TELEMETRY_OFF!r}))"
    )
    assert python(code, drop=(TELEMETRY_OFF,)) == "False 1"
    assert python(code, **{TELEMETRY_OFF: "0"}) == "False 0"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["reverie.demos.cli", "reverie.env", "reverie.simulator.session"])
def test_whatever_is_imported_first_settles_it(module: str) -> None:
    """Of all modules of ours that lead to ONNX Runtime, `reverie.model` comes first."""
    code = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        assert name != 'onnxruntime' or os.environ.get({TELEMETRY_OFF!r}), 'too late'\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import {module}\nfrom reverie.simulator import DreamWorld\nDreamWorld.load('tiny', device='cpu')\n"
        "print('onnxruntime' in sys.modules)"
    )
    assert python(code, drop=(TELEMETRY_OFF,)) == "True"


@pytest.mark.slow
def test_a_dream_leaves_nothing_in_a_new_home(tmp_path: Path) -> None:
    python(
        "from reverie.simulator import Action, DreamWorld, Simulator\n"
        "Simulator(DreamWorld.load('tiny', device='cpu'), 'plains', 1).step(Action())",
        drop=(TELEMETRY_OFF, "XDG_CACHE_HOME"), HOME=str(tmp_path),
    )  # fmt: skip
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Cores


class Machine:
    """A false /proc/self, and hierarchies of control groups to go with it."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / "proc", folder / "a cgroup"
        self.proc.mkdir()
        self.lines: list[str] = []
        self.mounts = ["22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw", "a broken line"]

    def version_2(self, group: str, root: str = "/") -> Path:
        self.lines.append(f"0::{group}")
        place = str(self.groups).replace(" ", "\\040")
        self.mounts.append(f"30 22 0:26 {root} {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate")
        return self.groups

    def version_1(self, group: str, root: str = "/") -> Path:
        self.lines += [f"9:cpuset:{group}/other", f"4:cpu,cpuacct:{group}"]
        for name in ("cpuset", "cpu,cpuacct"):
            place = str(self.groups / name).replace(" ", "\\040")
            self.mounts.append(f"31 22 0:27 {root} {place} rw shared:9 - cgroup cgroup rw,{name}")
        return self.groups / "cpu,cpuacct"

    def quota(self) -> float | None:
        (self.proc / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        (self.proc / "cgroup").write_text("\n".join(self.lines) + "\n")
        return cpu_quota(self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def limit_2(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(text + "\n")


def limit_1(folder: Path, quota: str, period: str = "100000") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.cfs_quota_us").write_text(quota + "\n")
    (folder / "cpu.cfs_period_us").write_text(period + "\n")


@pytest.mark.parametrize(
    ("text", "cores_worth"),
    [("100000 100000", 1.0), ("150000 100000", 1.5), ("20000 100000", 0.2), ("400000 200000", 2.0),
     ("max 100000", None), ("", None), ("nonsense", None), ("1 0", None), ("-5 100", None)],
)  # fmt: skip
def test_a_quota_of_version_2(machine: Machine, text: str, cores_worth: float | None) -> None:
    limit_2(machine.version_2("/a/b") / "a" / "b", text)
    assert machine.quota() == cores_worth


@pytest.mark.parametrize(
    ("quota", "period", "cores_worth"),
    [("100000", "100000", 1.0), ("50000", "100000", 0.5), ("-1", "100000", None), ("", "", None), ("1", "0", None)],
)
def test_a_quota_of_version_1(machine: Machine, quota: str, period: str, cores_worth: float | None) -> None:
    limit_1(machine.version_1("/docker/12ab") / "docker" / "12ab", quota, period)
    assert machine.quota() == cores_worth


def test_the_least_quota_of_all_groups_above_counts(machine: Machine) -> None:
    top = machine.version_2("/user.slice/user/app.scope")
    limit_2(top / "user.slice", "200000 100000")
    limit_2(top / "user.slice" / "user", "max 100000")
    limit_2(top / "user.slice" / "user" / "app.scope", "300000 100000")
    limit_2(top / "elsewhere", "1000 100000")
    assert machine.quota() == 2.0


def test_both_versions_at_once(machine: Machine) -> None:
    limit_1(machine.version_1("/"), "300000")
    machine.groups.mkdir(exist_ok=True)
    limit_2(machine.version_2("/x") / "x", "max 100000")
    assert machine.quota() == 3.0


@pytest.mark.parametrize(("group", "root"), [("/docker/12ab", "/docker/12ab"), ("/docker/12ab/in", "/docker/12ab"),
                                             ("/../other", "/"), ("/on/the/host", "/docker/12ab")])  # fmt: skip
def test_a_container_that_sees_only_its_own_part(machine: Machine, group: str, root: str) -> None:
    limit_1(machine.version_1(group, root), "100000")
    assert machine.quota() == 1.0


def test_a_machine_that_tells_nothing_has_no_quota(tmp_path: Path, machine: Machine) -> None:
    assert cpu_quota(tmp_path / "missing") is None
    assert machine.quota() is None
    machine.lines = ["", "9", "x:y", "0::"]
    assert machine.quota() is None


@pytest.mark.parametrize(
    ("text", "threads"),
    [("3", 3), (" 2 ", 2), ("4,2", 4), ("", None), ("0", None), ("-1", None), ("two", None), ("²", None), (",3", None)],
)
def test_what_omp_num_threads_says(monkeypatch: pytest.MonkeyPatch, text: str, threads: int | None) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads_asked_for() == threads


@pytest.mark.parametrize(
    ("mask", "quota", "asked", "threads"),
    [(8, None, None, 8), (8, 3.0, None, 3), (8, 3.9, None, 3), (8, 0.1, None, 1), (2, 6.0, None, 2),
     (8, None, 5, 5), (8, None, 50, 8), (8, 4.0, 2, 2), (8, 2.0, 4, 2), (1, 4.0, 4, 1)],
)  # fmt: skip
def test_threads_are_the_least_of_all(
    monkeypatch: pytest.MonkeyPatch, mask: int, quota: float | None, asked: int | None, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(mask)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", str(asked))
    assert usable_cores() == threads
    assert allowed_cores() == (min(mask, max(1, int(quota))) if quota else mask)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity masks")
def test_an_affinity_mask_is_respected_from_its_setting_on() -> None:
    code = (
        "import os\nfrom reverie.model.cores import usable_cores\n"
        "first = usable_cores()\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nprint(first, usable_cores())"
    )
    first, then = map(int, python(code, drop=("OMP_NUM_THREADS",)).split())
    assert then == 1 <= first


THREADS = """
import os, sys
if sys.argv[1:] == ["mask"]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from reverie.simulator import DreamWorld
from reverie.env.spaces import make_codec
from reverie.env.fleet import VoxelFleet
options = DreamWorld.load("tiny", device="cpu")._backend._session.get_session_options()
print(options.intra_op_num_threads, VoxelFleet(None, make_codec("discrete"), None)._pool._max_workers, end=" ")
from reverie.simulator.judge import evaluate
print(evaluate.usable_cores(), end=" ")
try:
    import torch
except ImportError:
    print(1)
else:
    from reverie.model.startup import limit_torch
    torch.set_num_threads(7)
    limit_torch()
    print(torch.get_num_threads())
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["OMP_NUM_THREADS", "mask"])
def test_every_place_that_starts_threads_respects_them(how: str) -> None:
    drop, values = ("OMP_NUM_THREADS",), {"OMP_NUM_THREADS": "1"} if how == "OMP_NUM_THREADS" else {}
    code = f"import sys; sys.argv = ['', {how!r}]\n{THREADS}"
    assert python(code, drop=drop, **values).split() == ["1"] * 4


def test_under_a_quota_libraries_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(ENOUGH)), raising=False)
    monkeypatch.setattr(cores, "cpu_quota", lambda: 2.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    startup.settle()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    startup.settle()
    assert os.environ["OMP_NUM_THREADS"] == "2"
    monkeypatch.setattr(cores, "cpu_quota", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS")
    startup.settle()
    assert "OMP_NUM_THREADS" not in os.environ


def test_torch_is_lowered_and_never_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        monkeypatch.setattr(startup, "usable_cores", lambda: 3)
        limit_torch()
        assert torch.get_num_threads() == 3
        monkeypatch.setattr(startup, "usable_cores", lambda: 9)
        limit_torch()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def half_core() -> Iterator[Path]:
    """A real control group with half a core's quota, where this user may make one."""
    top = Path("/sys/fs/cgroup")
    place = (top / "cpu" if (top / "cpu").is_dir() else top) / f"reverie-test-{os.getpid()}"
    try:
        place.mkdir()
    except OSError:
        pytest.skip("control groups cannot be made here")
    try:
        try:
            if (place / "cpu.cfs_quota_us").exists():
                (place / "cpu.cfs_quota_us").write_text("50000")
            else:
                (place / "cpu.max").write_text("50000 100000")
        except OSError:
            pytest.skip("CPU quotas cannot be set here")
        yield place
    finally:
        place.rmdir()


def test_a_real_quota_is_respected(half_core: Path) -> None:
    code = (
        f"import os; open({str(half_core / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        "from reverie.model.cores import cpu_quota, usable_cores\n"
        "print(cpu_quota(), usable_cores(), os.environ.get('OMP_NUM_THREADS'))"
    )
    quota, threads, told = python(code, drop=("OMP_NUM_THREADS",)).split()
    assert (float(quota), threads) == (0.5, "1")
    assert told == ("1" if len(os.sched_getaffinity(0)) > 1 else "None")


# Home and caches


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with neither HOME nor an entry in the list of users."""
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def nobody(cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(nobody))


def test_a_user_without_a_home_has_no_cache_folder(
    homeless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert user_cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache() == tmp_path


def test_reports_of_a_homeless_user_are_kept_among_temporary_files(
    homeless: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from reverie.simulator.judge import cache

    monkeypatch.setattr(startup.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache.cache_folder().is_relative_to(tmp_path)
    monkeypatch.setattr(cache, "private_folder", lambda name: None)
    kept = cache.entry({"a": 1})
    (tmp_path / "report.json").write_text("{}")
    cache.remember(kept, tmp_path, [tmp_path / "report.json"])  # no place to keep it is no error
    assert cache.recall(kept, tmp_path / "out") is None


def test_a_private_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(startup.tempfile, "gettempdir", lambda: str(tmp_path))
    path = private_folder("ours")
    assert path is not None and path.parent == tmp_path and private_folder("ours") == path
    if not hasattr(os, "getuid"):
        return
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o770)
    assert private_folder("ours") is None  # somebody else could have put code there
    path.rmdir()
    path.symlink_to(tmp_path, target_is_directory=True)
    assert private_folder("ours") is None
    path.unlink()
    path.write_text("")
    assert private_folder("ours") is None
    path.unlink()
    if os.getuid() == 0:
        path.mkdir(mode=0o700)
        os.chown(path, NOBODY, NOBODY)
        assert private_folder("ours") is None


def test_without_a_temporary_folder_there_is_no_private_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(startup.tempfile, "gettempdir", nowhere)
    assert private_folder("ours") is None


# As other users


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def stranger() -> Iterator[Run]:
    """Runs code as a user with no name, no home and no right to write to the installation."""
    if not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root becomes another user, by setpriv")
    here = Path(tempfile.mkdtemp(prefix="reverie-stranger-"))  # pytest's own folders are closed to others
    here.chmod(0o755)
    links = here / "packages" / "reverie"
    links.mkdir(parents=True)
    for layer in ("model", "simulator", "env", "demos"):
        shutil.copytree(ROOT / layer, links / layer, ignore=shutil.ignore_patterns("__pycache__", "teacher*"))
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    become = ["setpriv", f"--reuid={NO_ENTRY}", f"--regid={NO_ENTRY}", "--clear-groups"]
    bare = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{here / 'packages'}:{libraries}", "TMPDIR": str(here / "tmp")}
    (here / "tmp").mkdir()
    (here / "tmp").chmod(0o777)
    for path in (here / "packages").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        probe = subprocess.run([*become, found, "-c", "import numpy, numba"], env=bare, capture_output=True, cwd="/")
        if probe.returncode == 0:
            break
    else:
        shutil.rmtree(here)
        pytest.skip("no Python of this version that another user may run")

    def run(code: str, **values: str) -> subprocess.CompletedProcess[str]:
        command = [*become, found, "-c", code]
        return subprocess.run(command, env=bare | values, capture_output=True, text=True, cwd=here / "tmp", check=False)

    run.here = here  # type: ignore[attr-defined]
    yield run
    shutil.rmtree(here)


@pytest.mark.slow
def test_a_stranger_plays_a_dream(stranger: Run) -> None:
    done = stranger(
        "from reverie.demos.cli import main; import sys\n"
        "sys.exit(main(['play', '--headless', '--frames', '2', '--device', 'cpu', '--record', 'a.mp4']))"
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    left = {path.name for path in (stranger.here / "tmp").iterdir() if not path.name.startswith("reverie-numba-")}
    assert left == {"a.mp4", "a.jsonl"}  # and no folder "~"


COMPILE = """
import sys
from reverie.model import compiled
print(compiled.cache_folder())
sys.path.insert(0, {folder!r})
import sums
print(sums.twice(21), sum(sums.twice.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_a_strangers_compiled_functions_are_kept_where_only_that_user_writes(stranger: Run) -> None:
    folder = stranger.here / "sums"
    folder.mkdir()
    sums = folder / "sums.py"
    sums.write_text("from reverie.model.compiled import compiled\n@compiled\ndef twice(x):\n    return 2 * x\n")
    for hits in (0, 1):
        done = stranger(COMPILE.format(folder=str(folder)))
        assert done.returncode == 0, done.stderr
        place, *said = done.stdout.split()
        assert said == ["42", str(hits)]
        own = stranger.here / "tmp" / f"reverie-numba-{NO_ENTRY}"
        assert Path(place).parent == own and own.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (stranger.here / "tmp").iterdir()] == [own.name]  # and no folder "~"


@pytest.mark.slow
def test_a_stranger_plays_the_voxel_world(stranger: Run) -> None:
    done = stranger(
        "from reverie.demos.cli import main; import sys\n"
        "sys.exit(main(['play', '--world', 'voxel', '--headless', '--frames', '2', '--size', '32x32']))"
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "frames: 2" in done.stdout


# Display


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
@pytest.mark.parametrize(
    ("screens", "said"),
    [
        ({}, "there is no display"),
        ({"DISPLAY": ""}, "there is no display"),
        ({"DISPLAY": ":55"}, "cannot be reached (DISPLAY=:55)"),
        ({"DISPLAY": "nonsense"}, "cannot be reached"),
        ({"WAYLAND_DISPLAY": "wayland-55"}, "cannot be reached (WAYLAND_DISPLAY=wayland-55)"),
        ({"DISPLAY": ":55", "WAYLAND_DISPLAY": "wayland-55"}, "cannot be reached"),
        ({"DISPLAY": ":55", "SDL_VIDEODRIVER": "x11"}, "no window can be opened"),
        ({"SDL_VIDEODRIVER": "nonsense"}, "no window can be opened"),
        ({"SDL_VIDEODRIVER": "dummy"}, "None"),
        ({"DISPLAY": ":55", "SDL_VIDEODRIVER": "offscreen"}, "None"),
    ],
)
def test_what_counts_as_a_display(screens: dict[str, str], said: str, tmp_path: Path) -> None:
    code = "from reverie.demos.window.display import missing_display; print(missing_display())"
    names = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    answer = python(code, drop=names, XDG_RUNTIME_DIR=str(tmp_path), **screens)
    assert said in answer and (answer == "None") == (said == "None")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
def test_an_unreachable_display_dreams_to_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reverie.demos.cli", "play", "--frames", "3", "--device", "cpu"]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment | {"DISPLAY": ":55"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "DISPLAY=:55" in done.stderr.splitlines()[-1]
    assert (tmp_path / "reverie-dream.mp4").is_file()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_display_that_can_be_reached_is_used() -> None:
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"], pass_fds=(write,), stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        number = os.read(read, 16).decode().strip()
        assert number, "Xvfb did not start"
        code = "from reverie.demos.window.display import missing_display; print(missing_display())"
        names = ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
        assert python(code, drop=names, DISPLAY=f":{number}") == "None"
    finally:
        os.close(read)
        server.terminate()
        server.wait()


def test_a_window_that_cannot_be_opened_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame
    from fake_world import FakeWorld

    from reverie.demos.window.app import WindowApp
    from reverie.model.errors import ReverieError
    from reverie.simulator import Simulator

    def refuse(*_: object) -> None:
        raise pygame.error("no visual")

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(pygame.display, "set_mode", refuse)
    with pytest.raises(ReverieError, match="no visual"):
        WindowApp(Simulator(FakeWorld()))
    pygame.display.quit()
