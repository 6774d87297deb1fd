"""A small screenshot of a model's page, for the README.

    python -m reverie.demos.pages.picture runs/evaluate-tiny/page.html docs/pictures/page.png

Needs Chromium (Debian: `apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reverie.demos.pages.browser import Browser, installed
from reverie.model.errors import ReverieError

WINDOW = (1180, 900)
MOST_BYTES = 300_000
COLOURS = (256, 128, 64, 32)
"""Fewer are tried until the file is small enough."""


def take(page: Path, out: Path, tick: int, scheme: str) -> None:
    """Writes a PNG of the top of a page with all films at a tick. Raises ReverieError."""
    from PIL import Image

    program = installed()
    if program is None:
        raise ReverieError("no Chromium is installed to show the page")
    if not page.is_file():
        raise ReverieError(f"{page}: there is no such page")
    with tempfile.TemporaryDirectory() as place, Browser(program, Path(place) / "profile") as browser:
        browser.open(page, *WINDOW, scheme)
        browser.wait("document.body.dataset.ready === 'yes'")
        slider = "document.querySelector('.controls input')"
        browser.value(f"{slider}.value = {tick}; {slider}.dispatchEvent(new Event('input'))")
        browser.wait(f"document.querySelector('canvas').dataset.frame === '{tick}'")
        shot = Path(place) / "shot.png"
        browser.screenshot(shot)
        with Image.open(shot) as picture:
            whole = picture.convert("RGB")
    for colours in COLOURS:
        whole.quantize(colours, dither=Image.Dither.NONE).save(out, optimize=True)
        if out.stat().st_size < MOST_BYTES:
            return
    raise ReverieError(f"{out}: is larger than {MOST_BYTES} bytes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tick", type=int, default=12, help="of the films (default: 12)")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    options = parser.parse_args(arguments)
    try:
        take(options.page, options.out, options.tick, options.scheme)
    except (ReverieError, RuntimeError, OSError) as error:
        print(f"reverie: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
