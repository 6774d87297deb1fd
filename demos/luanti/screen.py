"""A virtual screen whose pixels are read from the file that Xvfb keeps them in, and its keys and mouse (XTEST).

The file is an X window dump (`X11/XWDFile.h`). Xlib and libXtst are called through ctypes.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from reverie.simulator.errors import ClipError

HEADER_WORDS = 25
COLOUR_BYTES = 12
START_SECONDS = 10.0
LEFT_BUTTON, RIGHT_BUTTON = 1, 3
CELLS = 16


class Screen:
    """An Xvfb of its own, `size` (height, width) pixels. Raises ClipError where it cannot be had."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._folder = tempfile.TemporaryDirectory(prefix="reverie-screen-")
        command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{size[1]}x{size[0]}x24", "-fbdir", self._folder.name]
        command += ["-nolisten", "tcp", "-dpi", "96"]
        try:
            self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError as error:
            raise ClipError(f"Xvfb cannot be started ({error.strerror}); install the package xvfb") from error
        assert self._server.stdout is not None
        number = self._server.stdout.readline().strip()
        if not number:
            raise ClipError("Xvfb ended before it had a screen")
        self.display = f":{number}"
        self._pixels = self._map(Path(self._folder.name) / "Xvfb_screen0")
        self._x, self._test = _library("X11"), _library("Xtst")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._connection = ctypes.c_void_p(self._x.XOpenDisplay(self.display.encode()))
        if not self._connection:
            raise ClipError(f"display {self.display} cannot be opened")
        self._x.XAutoRepeatOff(self._connection)
        self._held: set[str] = set()

    def _map(self, path: Path) -> np.ndarray:
        """uint8 [h, w, 4], blue first, as the server draws it."""
        deadline = time.monotonic() + START_SECONDS
        while not path.is_file() or path.stat().st_size < HEADER_WORDS * 4:
            if time.monotonic() > deadline:
                raise ClipError("Xvfb keeps no frame buffer file")
            time.sleep(0.05)
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = struct.unpack(f">{HEADER_WORDS}I", memory[: HEADER_WORDS * 4])
        start, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        flat = np.frombuffer(memory, np.uint8, height * line, start + colours * COLOUR_BYTES)
        return flat.reshape(height, line // 4, 4)[:, :width]

    def counter(self) -> int | None:
        """The number that the cells of the top row and of the bottom row agree upon; None if they do not."""
        middles = (np.arange(CELLS) + 0.5) * (self.size[1] / CELLS)
        rows = self._pixels[[0, -1]][:, middles.astype(int), :3].astype(int)
        if ((rows > 40) & (rows < 215)).any() or (rows.max(-1) - rows.min(-1) > 40).any():
            return None
        top, bottom = (int("".join("1" if cell.mean() > 127 else "0" for cell in row), 2) for row in rows)
        return top if top == bottom else None

    def grab(self, crop: int) -> tuple[int, np.ndarray] | None:
        """The counter and the picture (uint8 [h, w, 3], without `crop` rows at either edge); None while it is drawn."""
        before = self.counter()
        if before is None:
            return None
        picture = self._pixels[crop : self.size[0] - crop, :, 2::-1].copy()
        return (before, picture) if self.counter() == before else None

    def focus(self) -> bool:
        """Gives the keyboard to the first window there is."""
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        top = ctypes.c_ulong(self._x.XDefaultRootWindow(self._connection))
        self._x.XQueryTree(
            self._connection, top, ctypes.byref(root), ctypes.byref(parent), ctypes.byref(children), ctypes.byref(count)
        )
        if not count.value:
            return False
        self._x.XSetInputFocus(self._connection, ctypes.c_ulong(children[count.value - 1]), 1, 0)
        self._x.XFlush(self._connection)
        return True

    def hold(self, keys: set[str]) -> None:
        """From now on exactly these are held: names of X keysyms, `left` and `right` for the mouse's buttons."""
        for name in self._held ^ keys:
            down = name in keys
            if name in ("left", "right"):
                button = LEFT_BUTTON if name == "left" else RIGHT_BUTTON
                self._test.XTestFakeButtonEvent(self._connection, button, int(down), ctypes.c_ulong(0))
                continue
            self._x.XStringToKeysym.restype = ctypes.c_ulong
            symbol = ctypes.c_ulong(self._x.XStringToKeysym(name.encode()))
            code = self._x.XKeysymToKeycode(self._connection, symbol)
            self._test.XTestFakeKeyEvent(self._connection, code & 0xFF, int(down), ctypes.c_ulong(0))
        self._held = set(keys)
        self._x.XFlush(self._connection)

    def turn(self, right: int, down: int) -> None:
        """Moves the mouse by whole pixels."""
        if right or down:
            self._test.XTestFakeRelativeMotionEvent(self._connection, right, down, ctypes.c_ulong(0))
            self._x.XFlush(self._connection)

    def close(self) -> None:
        """Ends the server."""
        self._x.XCloseDisplay(self._connection)
        self._server.terminate()
        self._server.wait()
        self._folder.cleanup()


def _library(name: str) -> Any:
    found = ctypes.util.find_library(name)
    if found is None:
        raise ClipError(f"lib{name} is missing; install the package libxtst6")
    return ctypes.CDLL(found)
