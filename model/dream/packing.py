"""Dream states as plain JSON and arrays, and back; everything that is read is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from reverie.model.cells import CHUNK, HEIGHT, MAX_COORDINATE, CellMap, Column
from reverie.model.dream.paint import Card, Paint, PaintedFace
from reverie.model.dream.state import Request
from reverie.model.errors import ModelError
from reverie.model.frame.features import EDGE
from reverie.model.land.columns import CHANNELS, STRIDE
from reverie.model.land.world_model import Plan

MAX_CARD_SIDE = 4096
MAX_PENDING = 64
Arrays = dict[str, np.ndarray]


class Answer(NamedTuple):
    """What a request was answered."""

    tokens: np.ndarray
    plan: Any


def take(arrays: Mapping[str, np.ndarray], name: str, dtype: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array of a type and shape (None: any length). Raises ModelError."""
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(shape):
        raise ModelError(f"save: array {name!r} is missing or not of the right type")
    if any(want is not None and have != want for have, want in zip(array.shape, shape)):
        raise ModelError(f"save: array {name!r} has shape {array.shape}, which does not fit")
    return array


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def _pack_chunks(chunks: Mapping[Column, np.ndarray], prefix: str, shape: tuple[int, ...]) -> Arrays:
    places = np.array(sorted(chunks), np.int64).reshape(-1, 2)
    values = [chunks[int(x), int(z)] for x, z in places]
    return {f"{prefix}_places": places, prefix: np.stack(values) if values else np.zeros((0, *shape), np.uint8)}


def _unpack_chunks(
    arrays: Mapping[str, np.ndarray], prefix: str, shape: tuple[int, ...]
) -> Mapping[Column, np.ndarray]:
    places = take(arrays, f"{prefix}_places", np.int64, (None, 2))
    values = take(arrays, prefix, np.uint8, (len(places), *shape))
    if len(places) and np.abs(places).max() > MAX_COORDINATE // CHUNK:
        raise ModelError(f"save: a chunk of {prefix!r} lies out of range")
    found = {(int(x), int(z)): _frozen(value.copy()) for (x, z), value in zip(places, values)}
    if len(found) != len(places):
        raise ModelError(f"save: {prefix!r} holds a chunk twice")
    return MappingProxyType(found)


def pack_cells(cells: CellMap) -> Arrays:
    """The chunks of a map."""
    return _pack_chunks(cells.chunks, "cells", (CHUNK, HEIGHT, CHUNK))


def unpack_cells(arrays: Mapping[str, np.ndarray], known: np.ndarray) -> CellMap:
    """The map; `known` bool [256] says which values a cell may have. Raises ModelError."""
    chunks = _unpack_chunks(arrays, "cells", (CHUNK, HEIGHT, CHUNK))
    if any(not known[chunk].all() for chunk in chunks.values()):
        raise ModelError("save: a cell holds a token that the model does not know")
    return CellMap(chunks)


def pack_plan(plan: Plan | None, prefix: str = "plan") -> Arrays:
    """The chunks of a plan."""
    plan = plan or Plan()
    fine, coarse = (CHANNELS, CHUNK, CHUNK), (CHANNELS, CHUNK // STRIDE, CHUNK // STRIDE)
    return {
        **_pack_chunks(plan.columns, f"{prefix}_columns", fine),
        **_pack_chunks(plan.outline, f"{prefix}_outline", coarse),
    }


def unpack_plan(arrays: Mapping[str, np.ndarray], prefix: str = "plan") -> Plan:
    """The plan. Raises ModelError."""
    fine, coarse = (CHANNELS, CHUNK, CHUNK), (CHANNELS, CHUNK // STRIDE, CHUNK // STRIDE)
    return Plan(_unpack_chunks(arrays, f"{prefix}_columns", fine), _unpack_chunks(arrays, f"{prefix}_outline", coarse))


def pack_paint(paint: Paint) -> Arrays:
    """Painted faces and cards."""
    keys = sorted(paint.faces)
    faces = [paint.faces[key] for key in keys]
    arrays: Arrays = {
        "paint_keys": np.array(keys, np.int64).reshape(-1, 4),
        "paint_texels": np.stack([f.texels for f in faces]) if faces else np.zeros((0, EDGE, EDGE, 4), np.uint8),
        "paint_grain": np.array([f.grain for f in faces], np.float64),
        "card_frames": np.array(
            [[*c.corner, *c.across, *c.down, c.distant, c.of_picture] for c in paint.cards]
        ).reshape(-1, 11),
        "paint_hour": np.array([] if paint.hour is None else [paint.hour], np.float64),
    }
    arrays.update({f"card_{k}": np.ascontiguousarray(card.picture) for k, card in enumerate(paint.cards)})
    return arrays


def unpack_paint(arrays: Mapping[str, np.ndarray]) -> Paint:
    """The paint. Raises ModelError."""
    keys = take(arrays, "paint_keys", np.int64, (None, 4))
    texels = take(arrays, "paint_texels", np.uint8, (len(keys), EDGE, EDGE, 4))
    grain = take(arrays, "paint_grain", np.float64, (len(keys),))
    frames = take(arrays, "card_frames", np.float64, (None, 11))
    hours = take(arrays, "paint_hour", np.float64, (None,))
    if len(keys) and (np.abs(keys).max() > MAX_COORDINATE or keys[:, 3].min() < 0 or keys[:, 3].max() > 5):
        raise ModelError("save: paint lies out of range")
    if len(hours) > 1 or not ((hours >= 0) & (hours < 1)).all():
        raise ModelError("save: the paint's hour is out of range")
    if not np.isfinite(grain).all() or not np.isfinite(frames).all():
        raise ModelError("save: paint is not finite")
    faces = {
        (int(x), int(y), int(z), int(face)): PaintedFace(_frozen(texels[k].copy()), float(grain[k]))
        for k, (x, y, z, face) in enumerate(keys)
    }
    cards = []
    for k, frame in enumerate(frames):
        picture = take(arrays, f"card_{k}", np.uint8, (None, None, 4))
        if not 0 < min(picture.shape[:2]) <= max(picture.shape[:2]) <= MAX_CARD_SIDE:
            raise ModelError("save: a card has no size that can be shown")
        if not (frame[3:6] @ frame[3:6] > 0 and frame[6:9] @ frame[6:9] > 0):
            raise ModelError("save: a card has no extent")
        cards.append(
            Card(
                _frozen(picture.copy()),
                frame[:3].copy(),
                frame[3:6].copy(),
                frame[6:9].copy(),
                frame[9] != 0,
                frame[10] != 0,
            )
        )
    return Paint(MappingProxyType(faces), tuple(cards), float(hours[0]) if len(hours) else None)


def pack_pending(pending: tuple[Request, ...], answer: Callable[[Request], Any]) -> tuple[list[dict[str, Any]], Arrays]:
    """Requests with their answers, which are waited for: a save needs no map from the past."""
    meta, arrays = [], Arrays()
    for k, request in enumerate(pending):
        found = answer(request)
        meta.append({"low": list(request.low), "shape": list(request.shape), "due": request.due, "seed": request.seed})
        arrays[f"pending_{k}"] = np.ascontiguousarray(found.tokens)
        arrays.update(pack_plan(found.plan, f"pending_{k}"))
    return meta, arrays


def unpack_pending(meta: Any, arrays: Mapping[str, np.ndarray], known: np.ndarray) -> tuple[Request, ...]:
    """The requests, answered. Raises ModelError."""
    if not isinstance(meta, list) or len(meta) > MAX_PENDING:
        raise ModelError("save: 'pending' must be a short list")
    requests = []
    for k, entry in enumerate(meta):
        numbers: list[Any] = [
            entry.get(name) if isinstance(entry, dict) else None for name in ("low", "shape", "due", "seed")
        ]
        low, shape, due, seed = numbers
        whole = all(isinstance(part, list) and len(part) == 3 for part in (low, shape))
        whole = whole and all(type(value) is int for part in (low, shape) for value in part)
        if not whole or type(due) is not int or type(seed) is not int:
            raise ModelError("save: an entry of 'pending' is not what it should be")
        if max(abs(value) for value in low) > MAX_COORDINATE:
            raise ModelError("save: land that was asked for lies out of range")
        tokens = take(arrays, f"pending_{k}", np.uint8, tuple(shape))
        if not known[tokens].all():
            raise ModelError("save: land that was asked for holds a token that the model does not know")
        answer = Answer(_frozen(tokens.copy()), unpack_plan(arrays, f"pending_{k}"))
        requests.append(Request(tuple(low), tuple(shape), due, seed, CellMap(), None, answer))
    return tuple(requests)
