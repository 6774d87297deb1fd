"""A picture of the window, paused over a painted dream: `python -m reverie.demos.window_picture --out window.png`.

It needs no display: the window is drawn in memory, and driven by the events that keys and mouse make.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reverie.simulator.action import IDLE
from reverie.simulator.dream_world import DreamWorld
from reverie.simulator.outputs import writable_picture
from reverie.simulator.session import Simulator

SCENE, SEED, SCALE = "village", 5, 6
WALK_TICKS = 20
DOOR = ((0.47, 0.3), (0.47, 0.62)), ((0.5, 0.3), (0.5, 0.62)), ((0.53, 0.3), (0.53, 0.62))
"""Strokes of the brush from place to place, as shares of width and height."""
PATIENCE = 60.0
"""Seconds to wait for the first ticks."""


def draw(model: str, out: Path) -> None:
    """Writes the picture."""
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    import pygame

    from reverie.demos.window import hud
    from reverie.demos.window.app import WindowApp

    pygame.display.init()
    sim = Simulator(DreamWorld.load(model), SCENE, seed=SEED)
    h, w, _ = sim.frame.shape
    surface = pygame.Surface((w * SCALE, h * SCALE + hud.BAR_HEIGHT))
    with TemporaryDirectory() as scratch:
        app = WindowApp(sim, label=model, surface=surface, folder=Path(scratch), script=lambda _: IDLE)
        app.runner.start()

        def post(kind: int, **values: Any) -> None:
            pygame.event.post(pygame.event.Event(kind, **values))
            app.turn()

        until = time.monotonic() + PATIENCE
        while sim.tick < WALK_TICKS and time.monotonic() < until:
            app.turn(10)
        for key in (pygame.K_p, pygame.K_4):
            post(pygame.KEYDOWN, key=key)
            post(pygame.KEYUP, key=key)
        for start, end in DOOR:
            places = [(round(x * w * SCALE), round(y * h * SCALE)) for x, y in (start, end)]
            post(pygame.MOUSEBUTTONDOWN, button=pygame.BUTTON_LEFT, pos=places[0])
            post(pygame.MOUSEMOTION, rel=(0, places[1][1] - places[0][1]), pos=places[1], buttons=(1, 0, 0))
            post(pygame.MOUSEBUTTONUP, button=pygame.BUTTON_LEFT, pos=places[1])
        app.turn()
        pygame.image.save(surface, str(out))
        app.close()
    pygame.quit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the picture."""
    parser = argparse.ArgumentParser(prog="python -m reverie.demos.window_picture", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture that is written")
    parser.add_argument("--model", default="tiny")
    args = parser.parse_args(arguments)
    writable_picture(args.out)
    draw(args.model, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
