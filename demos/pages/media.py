"""What pages need of a report's folder: its JSON, and its pictures as text."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from reverie.model.errors import ReverieError

SHEET_QUALITY = 80


def read_json(path: Path) -> dict[str, Any]:
    """An object in a file. Raises ReverieError."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ReverieError(f"{path.parent}: is no folder of `reverie evaluate` ({path.name}: {error})") from error
    if not isinstance(value, dict):
        raise ReverieError(f"{path}: is not a report")
    return value


def embedded(path: Path) -> str:
    """A WebP film as a data URL. Raises ReverieError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReverieError(f"{path}: cannot be read ({error.strerror})") from error
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


def embedded_sheet(path: Path) -> str | None:
    """A contact sheet, made smaller than its PNG, as a data URL; None where there is none."""
    from PIL import Image

    if not path.is_file():
        return None
    out = io.BytesIO()
    try:
        with Image.open(path) as picture:
            picture.convert("RGB").save(out, "WEBP", quality=SHEET_QUALITY)
    except OSError as error:
        raise ReverieError(f"{path}: cannot be read as a picture ({error})") from error
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def films(folder: Path) -> list[dict[str, Any]]:
    """The films of a report, with `true` and `dream` as data URLs. Raises ReverieError."""
    listed = read_json(folder / "films.json").get("films")
    if not isinstance(listed, list):
        raise ReverieError(f"{folder}: its films.json lists no films")
    try:
        return [
            {**film, "true": embedded(folder / film["true"]), "dream": embedded(folder / film["dream"])}
            for film in listed
        ]
    except (KeyError, TypeError) as error:
        raise ReverieError(f"{folder}: its films.json is damaged ({error})") from error


def resource(name: str) -> str:
    """A style sheet or script beside this module."""
    return (Path(__file__).parent / name).read_text("utf-8")


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")
