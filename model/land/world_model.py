"""The world model as a dream uses it: cells that are not known, sampled given all that are. Imports no torch.

First an *outline* of the region and its surroundings, then its *columns*, then its *cells*; each stage is conditioned
on whatever of it is known already, on every side. The answer is a function of the known cells, the plan, the region
and the seed alone.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from reverie.model.cells import CHUNK, UNKNOWN, Cell, CellMap, Column, Vocabulary
from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.errors import ModelError
from reverie.model.land.columns import CHANNELS, HEIGHT, STRIDE, LandFacts, columns_of, filled, outline_of, settled
from reverie.model.land.config import ColumnConfig, LandConfig
from reverie.model.land.sampling import (
    bottom_up_ranks,
    halton_ranks,
    passes_of,
    sample_by_confidence,
    sample_in_order,
)

CONFIG = "config.json"
PARTS = ("outline", "columns", "cells")
SAMPLERS = ("bottom-up", "confidence", "random")
_OUTLINE, _COLUMNS, _CELLS = range(3)
_DELAYS = (0, 1, 1, 1, 2)
"""Passes by which the channels of a column follow its height."""
_CACHED_CHUNKS = 1024
_CORE = 5
"""Eighths of a window's edge, in its middle, that are sampled at a time; the rest is what they agree with."""
_STACKED = 8
"""Layers that a crop shares with the one below it."""


class Network(Protocol):
    """A network of one example: uint8 arrays in, float32 logits [..., n] out."""

    def __call__(self, *inputs: np.ndarray) -> np.ndarray: ...


class Networks(NamedTuple):
    """What runs each stage: `outline(map)`, `columns(map, outline)`, `cells(crop, columns, draft, low)`."""

    outline: Network
    columns: Network
    cells: Network | None
    """None until it is trained: cells are then filled by their columns."""


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """How the three stages are sampled."""

    outline_passes: int = 6
    column_passes: int = 4
    buried_passes: int = 2
    """For cells at and below the ground."""
    open_passes: int = 6
    """For cells above it."""
    cells: str = "bottom-up"
    """One of `SAMPLERS`."""
    outline_temperature: float = 0.7
    column_temperature: float = 0.5
    cell_temperature: float = 0.7
    min_p: float = 0.1
    """Share of the likeliest value's probability below which a value is not sampled."""
    choice_temperature: float = 1.0
    """Noise on the sureness in the confidence order."""
    jitter: float = 1.0
    """Metres of noise in the bottom-up order."""


Chunks = Mapping[Column, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Land that was dreamed as columns or as an outline only: values [5, 16, 16] and [5, 2, 2] by chunk. A value."""

    columns: Chunks = field(default_factory=lambda: MappingProxyType({}))
    outline: Chunks = field(default_factory=lambda: MappingProxyType({}))

    def without_columns(self, columns: set[tuple[int, int]]) -> Plan:
        """The plan with some columns (x, z) forgotten, so that they are dreamed anew."""
        fresh: dict[Column, np.ndarray] = {}
        for x, z in columns:
            chunk = x // CHUNK, z // CHUNK
            if chunk in self.columns:
                values = fresh.setdefault(chunk, self.columns[chunk].copy())
                values[:, x % CHUNK, z % CHUNK] = UNKNOWN
        for values in fresh.values():
            values.flags.writeable = False
        return Plan(MappingProxyType({**self.columns, **fresh}), self.outline)


def plan_of_heights(heights: Mapping[tuple[int, int], int]) -> Plan:
    """A plan that knows of some columns (x, z) how high their ground is, and nothing else."""
    chunks: dict[Column, np.ndarray] = {}
    for (x, z), height in heights.items():
        empty = np.full((CHANNELS, CHUNK, CHUNK), UNKNOWN, np.uint8)
        values = chunks.setdefault((x // CHUNK, z // CHUNK), empty)
        values[HEIGHT, x % CHUNK, z % CHUNK] = height
    for values in chunks.values():
        values.setflags(write=False)
    return Plan(MappingProxyType(chunks))


class Proposal(NamedTuple):
    """What the world model says about a region."""

    tokens: np.ndarray
    """uint8 [sx, sy, sz]: the known cells as they are, the others as they were sampled."""
    plan: Plan
    """The plan that was given, with the columns and the outline that this took."""


class Area:
    """A rectangle of columns in a grid of `stride` columns, as an array [5, x, z] with world coordinates."""

    def __init__(self, low: tuple[int, int], values: np.ndarray) -> None:
        self.low, self.values = low, values

    def part(self, low: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """A view of the values from `low` on, in the same coordinates."""
        x, z = low[0] - self.low[0], low[1] - self.low[1]
        if x < 0 or z < 0 or x + shape[0] > self.values.shape[1] or z + shape[1] > self.values.shape[2]:
            raise ValueError("outside of the area")
        return self.values[:, x : x + shape[0], z : z + shape[1]]


def _down(value: int, step: int) -> int:
    return value // step * step


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _read(chunks: Chunks, low: tuple[int, int], shape: tuple[int, int], edge: int) -> np.ndarray:
    """uint8 [5, x, z] from chunks with `edge` values along each side; UNKNOWN where there is none."""
    out = np.full((CHANNELS, *shape), UNKNOWN, np.uint8)
    for cx in range(low[0] // edge, (low[0] + shape[0] - 1) // edge + 1):
        for cz in range(low[1] // edge, (low[1] + shape[1] - 1) // edge + 1):
            chunk = chunks.get((cx, cz))
            if chunk is None:
                continue
            x0, x1 = max(low[0], cx * edge), min(low[0] + shape[0], (cx + 1) * edge)
            z0, z1 = max(low[1], cz * edge), min(low[1] + shape[1], (cz + 1) * edge)
            out[:, x0 - low[0] : x1 - low[0], z0 - low[1] : z1 - low[1]] = chunk[
                :, x0 - cx * edge : x1 - cx * edge, z0 - cz * edge : z1 - cz * edge
            ]
    return out


def _written(chunks: Chunks, low: tuple[int, int], values: np.ndarray, edge: int) -> Chunks:
    """The chunks with values [5, x, z] put at `low` where they are known."""
    fresh = dict(chunks)
    _, sx, sz = values.shape
    for cx in range(low[0] // edge, (low[0] + sx - 1) // edge + 1):
        for cz in range(low[1] // edge, (low[1] + sz - 1) // edge + 1):
            corner = cx * edge, cz * edge
            x0, x1 = max(low[0], corner[0]), min(low[0] + sx, corner[0] + edge)
            z0, z1 = max(low[1], corner[1]), min(low[1] + sz, corner[1] + edge)
            part = values[:, x0 - low[0] : x1 - low[0], z0 - low[1] : z1 - low[1]]
            if (part == UNKNOWN).all():
                continue
            chunk = fresh.get((cx, cz), np.full((CHANNELS, edge, edge), UNKNOWN, np.uint8)).copy()
            inside = chunk[:, x0 - corner[0] : x1 - corner[0], z0 - corner[1] : z1 - corner[1]]
            inside[part != UNKNOWN] = part[part != UNKNOWN]
            chunk.setflags(write=False)
            fresh[cx, cz] = chunk
    return MappingProxyType(fresh)


class WorldModel:
    """Samples unknown cells. Holds nothing but its networks and a cache of what is derived from immutable chunks."""

    def __init__(
        self,
        config: LandConfig,
        vocabulary: Vocabulary,
        facts: LandFacts,
        networks: Networks,
        sampler: SamplerConfig = SamplerConfig(),
    ) -> None:
        if sampler.cells not in SAMPLERS:
            raise ValueError(f"unknown sampler {sampler.cells!r}; there are {', '.join(SAMPLERS)}")
        self.config, self.vocabulary, self.facts, self.sampler = config, vocabulary, facts, sampler
        self._networks = networks
        self._columns_of: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    @classmethod
    def load(cls, folder: Path, threads: int = 1, sampler: SamplerConfig | None = None) -> WorldModel:
        """From a folder with `config.json` and an ONNX file for each network. Raises ModelError."""
        config, vocabulary, facts = load_config(folder)
        paths = [folder / f"{part}.onnx" for part in PARTS]
        for path in paths[:_CELLS]:
            if not path.is_file():
                raise ModelError(f"{folder}: {path.name} is missing")
        outline, columns, cells = (OnnxNetwork(path, threads) if path.is_file() else None for path in paths)
        assert outline is not None and columns is not None
        return cls(config, vocabulary, facts, Networks(outline, columns, cells), sampler or SamplerConfig())

    def plan_heights(self, heights: Mapping[tuple[int, int], int]) -> Plan:
        """See `plan_of_heights`."""
        return plan_of_heights(heights)

    def known_columns(self, cells: CellMap, plan: Plan, low: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """uint8 [5, x, z]: the columns from (x, z) = `low` on as the cells settle them, else as they are planned."""
        chunks: dict[Column, np.ndarray] = {}
        for cx in range(low[0] // CHUNK, (low[0] + shape[0] - 1) // CHUNK + 1):
            for cz in range(low[1] // CHUNK, (low[1] + shape[1] - 1) // CHUNK + 1):
                if (cx, cz) in cells.chunks:
                    chunks[cx, cz] = self._of_chunk(cells.chunks[cx, cz])
        derived = _read(chunks, low, shape, CHUNK)
        return np.where(derived == UNKNOWN, _read(plan.columns, low, shape, CHUNK), derived)

    def _of_chunk(self, chunk: np.ndarray) -> np.ndarray:
        cached = self._columns_of.get(id(chunk))
        if cached is None or cached[0] is not chunk:
            cached = (chunk, columns_of(chunk, self.facts))
            self._columns_of[id(chunk)] = cached
            while len(self._columns_of) > _CACHED_CHUNKS:
                self._columns_of.popitem(last=False)
        return cached[1]

    def plan(self, cells: CellMap, low: tuple[int, int], shape: tuple[int, int], seed: int, plan: Plan) -> Plan:
        """The plan with the columns from (x, z) = `low` on, all of them known; far land needs no more than this."""
        edge = self.config.columns.size
        core = edge * _CORE // 8
        x0, z0 = _down(low[0], STRIDE), _down(low[1], STRIDE)
        x1, z1 = _up(low[0] + shape[0], STRIDE), _up(low[1] + shape[1], STRIDE)
        margin = edge  # a window reaches at most this far beyond the region
        area_low = x0 - margin, z0 - margin
        area_shape = x1 - x0 + 2 * margin, z1 - z0 + 2 * margin
        known = self.known_columns(cells, plan, area_low, area_shape)
        inside = np.zeros(area_shape, bool)
        inside[margin : margin + x1 - x0, margin : margin + z1 - z0] = True
        if not (known[:, inside] == UNKNOWN).any():
            return plan
        outline = self._outlined(cells, plan, (x0, z0), (x1, z1), seed)
        area = Area(area_low, known)
        for x in range(x0, x1, core):
            for z in range(z0, z1, core):
                width, depth = min(core, x1 - x), min(core, z1 - z)
                corner = x - _down((edge - width) // 2, STRIDE), z - _down((edge - depth) // 2, STRIDE)
                window = area.part(corner, (edge, edge))
                wanted = np.zeros((edge, edge), bool)
                wanted[x - corner[0] : x - corner[0] + width, z - corner[1] : z - corner[1] + depth] = True
                unknown = (window == UNKNOWN) & wanted
                if unknown.any():
                    context = self.config.columns.context
                    around = outline.part(
                        (corner[0] // STRIDE - self.config.margin, corner[1] // STRIDE - self.config.margin),
                        (context, context),
                    )
                    rng = np.random.default_rng([seed, _COLUMNS, x % 2**32, z % 2**32])
                    window[:] = self._filled_map(window, unknown, rng, around)
        columns = _written(plan.columns, (x0, z0), area.part((x0, z0), (x1 - x0, z1 - z0)), CHUNK)
        return Plan(columns, _written(plan.outline, outline.low, outline.values, CHUNK // STRIDE))

    def _outlined(self, cells: CellMap, plan: Plan, low: tuple[int, int], high: tuple[int, int], seed: int) -> Area:
        """The outline of the columns from `low` to `high` and of what their context takes; cells of 8 columns."""
        edge = self.config.outline.size
        core = edge * _CORE // 8
        reach = self.config.columns.size // STRIDE + self.config.margin
        x0, z0 = low[0] // STRIDE - reach, low[1] // STRIDE - reach
        x1, z1 = high[0] // STRIDE + reach, high[1] // STRIDE + reach
        area_low, area_shape = (x0 - edge, z0 - edge), (x1 - x0 + 2 * edge, z1 - z0 + 2 * edge)
        columns = self.known_columns(
            cells, plan, (area_low[0] * STRIDE, area_low[1] * STRIDE), (area_shape[0] * STRIDE, area_shape[1] * STRIDE)
        )
        known = outline_of(columns)
        known = np.where(known == UNKNOWN, _read(plan.outline, area_low, area_shape, CHUNK // STRIDE), known)
        area = Area(area_low, known)
        for x in range(x0, x1, core):
            for z in range(z0, z1, core):
                width, depth = min(core, x1 - x), min(core, z1 - z)
                corner = x - (edge - width) // 2, z - (edge - depth) // 2
                window = area.part(corner, (edge, edge))
                wanted = np.zeros((edge, edge), bool)
                wanted[x - corner[0] : x - corner[0] + width, z - corner[1] : z - corner[1] + depth] = True
                unknown = (window == UNKNOWN) & wanted
                if unknown.any():
                    rng = np.random.default_rng([seed, _OUTLINE, x % 2**32, z % 2**32])
                    window[:] = self._filled_map(window, unknown, rng, None)
        return Area((x0, z0), area.part((x0, z0), (x1 - x0, z1 - z0)).copy())

    def _filled_map(
        self, window: np.ndarray, unknown: np.ndarray, rng: np.random.Generator, around: np.ndarray | None
    ) -> np.ndarray:
        """A map of columns, or an outline where `around` is None, with its `unknown` part sampled."""
        if around is None:
            network, config = self._networks.outline, self.config.outline
            passes, temperature = self.sampler.outline_passes, self.sampler.outline_temperature
        else:
            network, config = self._networks.columns, self.config.columns
            passes, temperature = self.sampler.column_passes, self.sampler.column_temperature

        def predict(tokens: np.ndarray) -> list[np.ndarray]:
            inputs = (tokens,) if around is None else (tokens, around)
            return _split(network(*inputs), config)

        turns = passes_of(halton_ranks(config.size, rng), unknown, passes, _DELAYS)
        return sample_in_order(predict, window, turns, temperature, self.sampler.min_p, rng)

    def propose(
        self, cells: CellMap, low: Cell, shape: Cell, seed: int, plan: Plan | None = None, depth: int | None = 8
    ) -> Proposal:
        """The cells of a box [sx, sy, sz] from (x, y, z) = `low` on, those that are not known sampled.

        Cells more than `depth` under the ground of their column stay UNKNOWN; None leaves none of them so. With the
        plan of an earlier proposal the land goes on as it was planned then.
        """
        margin = max(self.config.cells.size - CHUNK, 0) // 2
        core = self.config.cells.size - 2 * margin
        (x0, y0, z0), (sx, sy, sz) = low, shape
        wide_low, wide_shape = (x0 - margin, z0 - margin), (sx + 2 * margin, sz + 2 * margin)
        fresh = self.plan(cells, wide_low, wide_shape, seed, plan or Plan())
        reach = self.config.cells.size
        area_low, area_shape = (x0 - reach, z0 - reach), (sx + 2 * reach, sz + 2 * reach)
        columns = self.known_columns(cells, fresh, area_low, area_shape)
        known = cells.window((area_low[0], 0, area_low[1]), (area_shape[0], LAYERS, area_shape[1]))
        work = np.where(known == UNKNOWN, settled(columns, self.facts), known)
        wanted = np.zeros(work.shape, bool)
        wanted[reach : reach + sx, max(y0, 0) : max(min(y0 + sy, LAYERS), 0), reach : reach + sz] = True
        if depth is not None:
            bottom = columns[HEIGHT][:, None].astype(np.int64) - depth
            wanted &= np.arange(LAYERS)[None, :, None] >= np.where(columns[HEIGHT][:, None] == UNKNOWN, 0, bottom)
        if self._networks.cells is None:
            work = np.where(wanted & (work == UNKNOWN), filled(columns, self.facts), work)
        else:
            for x in range(0, sx, core):
                for z in range(0, sz, core):
                    width, length = min(core, sx - x), min(core, sz - z)
                    rng = np.random.default_rng([seed, _CELLS, (x0 + x) % 2**32, (z0 + z) % 2**32])
                    edge = self.config.cells.size
                    left, back = reach + x - (edge - width) // 2, reach + z - (edge - length) // 2
                    tile = slice(left, left + edge), slice(None), slice(back, back + edge)
                    inside = np.zeros((edge, LAYERS, edge), bool)
                    first, second = (edge - width) // 2, (edge - length) // 2
                    inside[first : first + width, :, second : second + length] = True
                    below = columns[:, tile[0], tile[2]]
                    work[tile] = self._filled_cells(work[tile], wanted[tile] & inside, below, rng)
        box = work[reach : reach + sx, :, reach : reach + sz]
        known_box = known[reach : reach + sx, :, reach : reach + sz]
        inside_box = wanted[reach : reach + sx, :, reach : reach + sz]
        box = np.where((known_box == UNKNOWN) & ~inside_box, UNKNOWN, box)
        tokens = np.full(shape, UNKNOWN, np.uint8)
        bottom_y, top_y = max(y0, 0), max(min(y0 + sy, LAYERS), 0)
        tokens[:, bottom_y - y0 : top_y - y0] = box[:, bottom_y:top_y]
        return Proposal(tokens, fresh)

    def _filled_cells(
        self, cells: np.ndarray, wanted: np.ndarray, columns: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Cells uint8 [s, 64, s] with those of `wanted` that are UNKNOWN sampled, crop above crop."""
        edge = self.config.cells.size
        cells = cells.copy()
        done = 0
        while True:
            missing = wanted & (cells == UNKNOWN)
            missing[:, :done] = False
            layers = np.flatnonzero(missing.any(axis=(0, 2)))
            if not len(layers):
                return cells
            low = int(np.clip(layers[0] - (_STACKED if done else 0), 0, LAYERS - edge))
            crop = slice(low, low + edge)
            cells[:, crop] = self._filled_crop(cells[:, crop], missing[:, crop], columns, low, rng)
            done = low + edge

    def _filled_crop(
        self, crop: np.ndarray, unknown: np.ndarray, columns: np.ndarray, low: int, rng: np.random.Generator
    ) -> np.ndarray:
        network, sampler = self._networks.cells, self.sampler
        assert network is not None
        lowest = np.array([low], np.int64)
        draft = filled(columns, self.facts)[:, low : low + len(crop)]

        def predict(tokens: np.ndarray) -> list[np.ndarray]:
            return [network(tokens[0], columns, draft, lowest)]

        y = np.arange(low, low + crop.shape[1])[None, :, None]
        height = columns[HEIGHT][:, None].astype(np.int64)
        over = y - np.where(height == UNKNOWN, low, height)
        if sampler.cells == "confidence":
            return _confident(predict, crop, (crop == UNKNOWN) & ~unknown, sampler, rng)
        buried = unknown & (over <= 0)
        opened = unknown & (over > 0)
        turns = passes_of(rng.random(crop.shape), buried[None], sampler.buried_passes)
        ranks = bottom_up_ranks(over, rng, sampler.jitter) if sampler.cells == "bottom-up" else rng.random(crop.shape)
        later = passes_of(ranks, opened[None], sampler.open_passes)
        turns = np.where(later >= 0, later + sampler.buried_passes, turns)
        return sample_in_order(predict, crop[None], turns, sampler.cell_temperature, sampler.min_p, rng)[0]


def _confident(
    predict: Any, crop: np.ndarray, outside: np.ndarray, sampler: SamplerConfig, rng: np.random.Generator
) -> np.ndarray:
    """A crop sampled in MaskGIT's order; the cells `outside` of the wanted ones stay UNKNOWN."""

    def masked(tokens: np.ndarray) -> list[np.ndarray]:
        return predict(np.where(outside, np.uint8(UNKNOWN), tokens))

    shown = np.where(outside, np.uint8(0), crop)[None]  # not to be filled: any token but UNKNOWN
    passes = sampler.buried_passes + sampler.open_passes
    temperatures = sampler.cell_temperature, sampler.min_p, sampler.choice_temperature
    done = sample_by_confidence(masked, shown, passes, *temperatures, rng)[0]
    return np.where(outside, np.uint8(UNKNOWN), done)


def _split(logits: np.ndarray, config: ColumnConfig) -> list[np.ndarray]:
    return np.split(logits, np.cumsum(config.sizes)[:-1], axis=-1)


class OnnxNetwork:
    """An exported network on the CPU. Raises ModelError where the file is of no use."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no public base class
            raise ModelError(f"{path}: not a usable ONNX model ({str(error).splitlines()[0][:120]})") from error
        self._inputs = [item.name for item in self._session.get_inputs()]

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Arrays without a batch axis; returns the logits likewise."""
        batch = [array.astype(np.int64) if array.ndim == 1 else array.astype(np.int64)[None] for array in inputs]
        return self._session.run(None, dict(zip(self._inputs, batch, strict=True)))[0][0]


def load_config(folder: Path) -> tuple[LandConfig, Vocabulary, LandFacts]:
    """What `config.json` in a folder says. Raises ModelError."""
    path = folder / CONFIG
    try:
        record = json.loads(path.read_text("utf-8"))
        vocabulary = Vocabulary.from_dict(record["vocabulary"])
        return LandConfig.from_dict(record["config"]), vocabulary, LandFacts.from_dict(record["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
