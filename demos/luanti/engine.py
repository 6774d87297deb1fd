"""One running Luanti: its settings, its world, its log."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from reverie.simulator.errors import ClipError

COMMANDS = ("luanti", "minetest", "/usr/games/luanti", "/usr/games/minetest")
WINDOW = (196, 320)
"""Height and width; two rows at the top and two at the bottom hold the counter."""
COUNTER_ROWS = 2
SENSITIVITY = 0.155640
"""Makes one pixel of the mouse 0.15 degrees at a field of view of 70."""
SPREAD = 8000
"""Nodes from the middle of a map within which players begin, in x and in z."""
CONTROLS: tuple[str, ...] = ("w", "s", "a", "d", "space", "left.shift", "left.control", "dig", "place")
"""What the bits of a logged frame mean."""
SETTINGS: dict[str, object] = {
    "screen_w": WINDOW[1], "screen_h": WINDOW[0], "autosave_screensize": False, "fullscreen": False,
    "fps_max": 20, "fps_max_unfocused": 20, "vsync": False, "video_driver": "opengl", "enable_sound": False,
    "enable_client_modding": True, "csm_restriction_flags": 0, "mouse_sensitivity": SENSITIVITY, "fov": 70,
    "viewing_range": 64, "leaves_style": "simple", "hud_scaling": 0.5, "display_density_factor": 0.65,
    "mg_name": "v7", "enable_damage": False, "creative_mode": False, "dedicated_server_step": 0.05,
    "keymap_aux1": "KEY_LCONTROL", "keymap_sneak": "KEY_LSHIFT", "pause_on_lost_focus": False, "show_debug": False,
    "chat_log_level": "none", "debug_log_level": "action", "show_statusline_on_connect": False,
    "enable_minimap": False, "menu_clouds": False, "server_announce": False,
    "bind_address": "127.0.0.1", "enable_local_map_saving": False,
    "max_block_generate_distance": 6, "enable_dynamic_shadows": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class FrameState:
    """What the engine logged of one frame."""

    number: int
    seconds: float
    """Since the frame before."""
    place: tuple[float, float, float]
    yaw: float
    """Degrees, 0 along +z, growing to the right."""
    pitch: float
    """Degrees, down."""
    held: frozenset[str]
    slot: int


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A node that the player dug or placed; `after` is the newest frame logged before."""

    kind: str
    place: tuple[int, int, int]
    node: str
    after: int


class Engine:
    """Luanti in a world of its own, on `display`. Raises ClipError where it is not installed."""

    def __init__(self, display: str, seed: int, number: int, time_of_day: float, spread: int = SPREAD) -> None:
        command = next((found for name in COMMANDS if (found := shutil.which(name))), None)
        if command is None:
            raise ClipError("Luanti is not installed; on Debian: apt-get install minetest xvfb")
        self._folder = tempfile.TemporaryDirectory(prefix="reverie-luanti-")
        home = Path(self._folder.name)
        self._log, world, client = home / "log.txt", home / "world", home / ".minetest" / "clientmods"
        mods = resources.files("reverie.demos") / "luanti" / "mods"
        with resources.as_file(mods) as folder:
            shutil.copytree(folder / "reverie_client", client / "reverie_client")
            shutil.copytree(folder / "reverie_server", world / "worldmods" / "reverie_server")
        (client / "mods.conf").write_text("load_mod_reverie_client = true\n", "utf-8")
        (world / "world.mt").write_text(
            "gameid = minetest_game\nbackend = dummy\nplayer_backend = dummy\nauth_backend = sqlite3\n", "utf-8"
        )
        own = {"fixed_map_seed": seed, "reverie_seed": seed * 1000 + number, "reverie_time": time_of_day}
        (home / "luanti.conf").write_text(written(SETTINGS | own | {"reverie_spread": spread}), "utf-8")
        environment = {**os.environ, "HOME": str(home), "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"}
        environment |= {"LP_NUM_THREADS": "1", "MINETEST_USER_PATH": str(home / ".minetest")}
        arguments = ["--go", "--gameid", "minetest_game", "--world", str(world), "--config", str(home / "luanti.conf")]
        self._process = subprocess.Popen(
            [command, *arguments, "--logfile", str(self._log)],
            env=environment, stdout=subprocess.DEVNULL, stderr=(home / "stderr.txt").open("w"),
        )  # fmt: skip
        self._read, self._rest = 0, ""
        self.frames: dict[int, FrameState] = {}
        self.newest = -1
        self.events: list[NodeEvent] = []
        self.hotbar: list[str] = []
        self.errors = home / "stderr.txt"

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    def follow(self) -> None:
        """Reads what the log has grown by."""
        if not self._log.is_file():
            return
        with self._log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            text = self._rest + file.read()
            self._read = file.tell()
        *lines, self._rest = text.split("\n")
        for line in lines:
            if "REVERIE " in line:
                self._take(line.split("REVERIE ", 1)[1].split())

    def _take(self, words: list[str]) -> None:
        kind = words[0]
        if kind == "frame":
            number, bits, slot = int(words[1]), words[8], int(words[9])
            x, y, z, look, up = (float(word) for word in words[3:8])
            held = frozenset(name for name, bit in zip(CONTROLS, bits) if bit == "1")
            self.frames[number] = FrameState(number, float(words[2]), (x, y, z), (90 - look) % 360, -up, held, slot)
            self.newest = number
        elif kind in ("dig", "place"):
            place = (int(words[1]), int(words[2]), int(words[3]))
            self.events.append(NodeEvent(kind, place, words[4], self.newest))
        elif kind == "ready":
            self.hotbar = words[1].split(",")

    def close(self) -> None:
        """Ends the program."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def written(settings: Mapping[str, object]) -> str:
    """Settings as the engine reads them. Only truth values are in lower case: a key's name would not be known so."""
    words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items()}
    return "".join(f"{name} = {word}\n" for name, word in words.items())


def unwrapped(difference: float) -> float:
    """An angle's difference in -180..180 degrees."""
    return float(np.mod(difference + 180, 360) - 180)
