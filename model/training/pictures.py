"""Loss curves and sample sheets as PNG files, with nothing but numpy and the standard library."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np

COLOURS = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 160, 44),
    (148, 103, 189),
    (255, 127, 14),
    (140, 86, 75),
    (23, 190, 207),
)


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a uint8 picture [h, w, 3] (PNG specification, RFC 2083)."""
    height, width, _ = image.shape
    rows = np.concatenate((np.zeros((height, 1), np.uint8), image.reshape(height, -1)), axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def sheet(rows: list[np.ndarray], gap: int = 2) -> np.ndarray:
    """Strips of frames uint8 [n, h, w, 3] under each other, with thin light lines between."""
    lines = []
    for frames in rows:
        n, h, w, _ = frames.shape
        line = np.full((h + gap, n * (w + gap), 3), 230, np.uint8)
        for index, frame in enumerate(frames):
            line[:h, index * (w + gap) : index * (w + gap) + w] = frame
        lines.append(line)
    width = max(line.shape[1] for line in lines)
    return np.concatenate([np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))) for line in lines])


def _line(image: np.ndarray, xs: np.ndarray, ys: np.ndarray, colour: tuple[int, int, int]) -> None:
    for (x0, y0), (x1, y1) in zip(zip(xs[:-1], ys[:-1]), zip(xs[1:], ys[1:])):
        steps = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
        column = np.linspace(x0, x1, steps).round().astype(int)
        row = np.linspace(y0, y1, steps).round().astype(int)
        image[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)] = colour


def loss_curves(log: Path, picture: Path, points: int = 200, size: tuple[int, int] = (360, 640)) -> None:
    """Draws every loss in a log of JSON lines over its steps, each on a logarithmic scale of its own height.

    One curve a loss, in the colours of `COLOURS` and the order of the log's keys; averaged to `points` points.
    """
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.strip()]
    names = list(records[-1].get("losses", {})) if records else []
    height, width = size
    image = np.full((height, width, 3), 255, np.uint8)
    for index, name in enumerate(names):
        values = np.array([record["losses"][name] for record in records if name in record.get("losses", {})])
        if len(values) < 2:
            continue
        parts = np.array_split(np.log10(np.maximum(values, 1e-8)), min(points, len(values)))
        curve = np.array([part.mean() for part in parts])
        span = max(float(np.ptp(curve)), 1e-6)
        xs = np.linspace(8, width - 8, len(curve))
        ys = height - 8 - (curve - curve.min()) / span * (height - 16)
        _line(image, xs, ys, COLOURS[index % len(COLOURS)])
    write_png(picture, image)
