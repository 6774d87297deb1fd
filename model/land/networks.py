"""The world model's networks: masked transformers over patches of columns and of cells.

Letters: b batch, x y z cells of a map or crop, p tokens of the transformer, d its width, f features of a cell.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.cells import UNKNOWN
from reverie.model.land.columns import COVERS, HEIGHT, LEVEL, RISE, RISES, STRIDE
from reverie.model.land.config import CellConfig, ColumnConfig
from reverie.model.layers import zero_init

_OVER, _UNDER = 20, 12
"""Metres over and under the ground that are told apart."""
_PEAK_OVER, _PEAK_UNDER = 4, 20
"""The same about the highest thing of the column."""
_CONTEXT_PATCH = 2
_REACHES = ((3, 1.0), (9, 1e-2), (33, 1e-4))
"""Edges of the squares over which known heights are averaged, and their weights: the nearest known ones count."""
_CONTEXT_WEIGHT, _DEFAULT_WEIGHT, _DEFAULT_HEIGHT = 1e-6, 1e-9, 24.0
_OFFSETS = 64
"""Heights relative to that average that are told apart."""


def sinusoids(positions: Tensor, width: int, longest: float = 128.0) -> Tensor:
    """Sines and cosines of positions [...] -> [..., width] with wavelengths of 2 to `longest`."""
    half = width // 2
    wavelength = 2.0 * (longest / 2.0) ** (torch.arange(half) / max(half - 1, 1))
    angle = positions.unsqueeze(-1) * (2 * math.pi / wavelength)
    return functional.pad(torch.cat((angle.sin(), angle.cos()), dim=-1), (0, width - 2 * half))


def grid_embedding(edges: tuple[Tensor, ...], width: int) -> Tensor:
    """Sinusoidal positions [p, d] of a grid whose axes have these coordinates; each axis has a share of the width."""
    part = width // len(edges) // 2 * 2
    axes = torch.meshgrid(*edges, indexing="ij")
    embedded = torch.cat([sinusoids(axis.flatten().float(), part) for axis in axes], dim=-1)
    return functional.pad(embedded, (0, width - embedded.shape[-1]))


class Block(nn.Module):
    """Attention with normalised queries and keys, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = zero_init(nn.Linear(width, width, bias=False))
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), zero_init(nn.Linear(4 * width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [b, p, d]. Attention is written out: it trains faster on CPUs than the fused form."""
        b, p, d = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, p, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q, k = self.query_norm(q) * (d // self.heads) ** -0.5, self.key_norm(k)
        mixed = (q @ k.transpose(-1, -2)).softmax(dim=-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(b, p, d))
        return x + self.mlp(self.mlp_norm(x))


class ColumnEmbedding(nn.Module):
    """Maps of columns [b, 5, x, z] -> features [b, x, z, f]: the sum of an embedding for each channel."""

    def __init__(self, sizes: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.sizes = sizes
        tables = [nn.Embedding(size + 1, features) for size in sizes]
        self.tables = nn.ModuleList(tables)
        for channel, table in enumerate(tables):
            nn.init.normal_(table.weight, std=0.3)
            if channel in (HEIGHT, LEVEL, RISE):  # numbers: neighbours look alike from the start
                with torch.no_grad():
                    table.weight[:-1] += sinusoids(torch.arange(sizes[channel]).float(), features)

    def forward(self, columns: Tensor) -> Tensor:
        parts = [
            table(torch.where(columns[:, channel] == UNKNOWN, size, columns[:, channel]))
            for channel, (table, size) in enumerate(zip(self.tables, self.sizes))
        ]
        return sum(parts[1:], parts[0])


def _average(values: Tensor, edge: int) -> Tensor:
    """Means over squares of an odd `edge` about each place of [b, 1, x, z], zero beyond the map."""
    rows = functional.avg_pool2d(values, (edge, 1), 1, (edge // 2, 0))
    return functional.avg_pool2d(rows, (1, edge), 1, (0, edge // 2))


def base_height(height: Tensor, context: Tensor | None) -> Tensor:
    """int64 [b, x, z]: about how high the ground is, from the known heights nearby, else from the outline.

    `height` int64 [b, x, z], `context` int64 [b, x, z] or None; both may be UNKNOWN.
    """
    known = (height != UNKNOWN).float().unsqueeze(1)
    values = height.unsqueeze(1) * known
    total, weight = torch.full_like(known, _DEFAULT_WEIGHT * _DEFAULT_HEIGHT), torch.full_like(known, _DEFAULT_WEIGHT)
    for edge, share in _REACHES:
        total = total + share * _average(values, edge)
        weight = weight + share * _average(known, edge)
    if context is not None:
        given = _CONTEXT_WEIGHT * (context != UNKNOWN).float().unsqueeze(1)
        total, weight = total + given * context.unsqueeze(1), weight + given
    return (total / weight).round().long().squeeze(1)


def around_middle(outline: Tensor, margin: int, count: int) -> Tensor:
    """The `count` x `count` middle cells of an outline [b, x, z, ...], one value for each column."""
    inside = slice(margin, margin + count)
    return outline[:, inside, inside].repeat_interleave(STRIDE, dim=1).repeat_interleave(STRIDE, dim=2)


class ColumnNet(nn.Module):
    """Logits for every channel of every column of a map, of which parts are UNKNOWN.

    Heights go in and come out both as they are and relative to `base_height`, so that going on at the height of what
    is known need not be learned for each height.
    """

    pos_embed: Tensor
    context_pos_embed: Tensor

    def __init__(self, config: ColumnConfig) -> None:
        super().__init__()
        self.config = config
        f, d = config.features, config.width
        self.embed = ColumnEmbedding(config.sizes, f)
        self.base_embed = nn.Embedding(LAYERS, f)
        self.offset_embed = nn.Embedding(_OFFSETS + 1, f)
        for table in (self.base_embed, self.offset_embed):
            nn.init.normal_(table.weight, std=0.3)
        self.stem = nn.Conv2d(f, f, 3, padding=1)
        self.patches = nn.Linear(config.patch**2 * f, d)
        middles = (torch.arange(config.size // config.patch) + 0.5) * config.patch
        self.register_buffer("pos_embed", grid_embedding((middles, middles), d), persistent=False)
        if config.context:
            self.context_embed = ColumnEmbedding((LAYERS, config.tokens, LAYERS, COVERS, config.tokens), f)
            self.context_patches = nn.Linear(_CONTEXT_PATCH**2 * f, d)
            self.context_local = nn.Linear(f, f)
            self.margin = (config.context - config.size // STRIDE) // 2
            middles = (torch.arange(config.context // _CONTEXT_PATCH) + 0.5) * _CONTEXT_PATCH - self.margin
            embedded = grid_embedding((middles * STRIDE, middles * STRIDE), d)
            self.register_buffer("context_pos_embed", embedded, persistent=False)
            self.context_kind = nn.Parameter(torch.randn(d) * 0.3)
        self.blocks = nn.ModuleList(Block(d, config.heads) for _ in range(config.layers))
        self.norm = nn.RMSNorm(d, eps=1e-6)
        self.unpatch = nn.Linear(d, config.patch**2 * f)
        self.join = nn.Conv2d(2 * f, 2 * f, 3, padding=1)
        self.refine = nn.Conv2d(2 * f, 2 * f, 3, padding=1)
        self.heads = nn.Linear(2 * f, sum(config.sizes))
        self.offset_head = nn.Linear(2 * f, _OFFSETS)

    def forward(self, columns: Tensor, context: Tensor | None = None) -> Tensor:
        """columns int64 [b, 5, x, z], context int64 [b, 5, k, k] -> logits [b, x, z, sum of the channels' sizes].

        The map is [size, size] columns; the context is the outline around it, where the network has one.
        """
        config = self.config
        height = columns[:, HEIGHT]
        inside = config.size // STRIDE
        base = base_height(height, None if context is None else around_middle(context[:, HEIGHT], self.margin, inside))
        offset = (height - base + _OFFSETS // 2).clamp(0, _OFFSETS - 1)
        x = self.embed(columns) + self.base_embed(base)
        x = x + self.offset_embed(torch.where(height == UNKNOWN, _OFFSETS, offset))
        tokens = []
        if context is not None:
            around = self.context_embed(context)
            grouped = rearrange(around, "b (x i) (z j) f -> b (x z) (i j f)", i=_CONTEXT_PATCH, j=_CONTEXT_PATCH)
            tokens.append(self.context_patches(grouped) + self.context_pos_embed + self.context_kind)
            x = x + around_middle(self.context_local(around), self.margin, inside)
        x = x + functional.gelu(self.stem(x.permute(0, 3, 1, 2)), approximate="tanh").permute(0, 2, 3, 1)
        p = config.patch
        own = self.patches(rearrange(x, "b (x i) (z j) f -> b (x z) (i j f)", i=p, j=p)) + self.pos_embed
        hidden = torch.cat((own, *tokens), dim=1)
        for block in self.blocks:
            hidden = block(hidden)
        spread = self.unpatch(self.norm(hidden[:, : own.shape[1]]))
        spread = rearrange(spread, "b (x z) (i j f) -> b (x i) (z j) f", x=config.size // p, i=p, j=p)
        y = self.join(torch.cat((x, spread), dim=-1).permute(0, 3, 1, 2))
        y = y + self.refine(functional.gelu(y, approximate="tanh"))
        y = functional.gelu(y, approximate="tanh").permute(0, 2, 3, 1)
        offsets = torch.arange(LAYERS, device=base.device) - base.unsqueeze(-1) + _OFFSETS // 2
        relative = self.offset_head(y).gather(-1, offsets.clamp(0, _OFFSETS - 1))
        heights, others = self.heads(y).split((LAYERS, sum(config.sizes) - LAYERS), dim=-1)
        return torch.cat((heights + relative, others), dim=-1)


class CellNet(nn.Module):
    """Logits for every cell of a crop, of which parts are UNKNOWN, given its columns."""

    pos_embed: Tensor

    def __init__(self, config: CellConfig) -> None:
        super().__init__()
        self.config = config
        f, d = config.features, config.width
        self.embed = nn.Embedding(config.tokens + 1, f)
        self.over_ground = nn.Embedding(_OVER + _UNDER + 2, f)
        self.over_peak = nn.Embedding(_PEAK_OVER + _PEAK_UNDER + 2, f)
        self.altitude = nn.Embedding(LAYERS, f)
        self.flooded = nn.Embedding(3, f)
        self.ground = nn.Embedding(config.tokens + 1, f)
        self.top = nn.Embedding(config.tokens + 1, f)
        self.draft = nn.Embedding(config.tokens + 1, f)
        for table in (
            self.embed, self.over_ground, self.over_peak, self.altitude, self.flooded, self.ground, self.top,
            self.draft,
        ):  # fmt: skip
            nn.init.normal_(table.weight, std=0.3)
        self.patches = nn.Linear(config.patch**3 * f, d)
        middles = (torch.arange(config.size // config.patch) + 0.5) * config.patch
        self.register_buffer("pos_embed", grid_embedding((middles,) * 3, d), persistent=False)
        self.blocks = nn.ModuleList(Block(d, config.heads) for _ in range(config.layers))
        self.norm = nn.RMSNorm(d, eps=1e-6)
        self.unpatch = nn.Linear(d, config.patch**3 * f)
        self.join = nn.Conv3d(2 * f, 2 * f, 3, padding=1)
        self.head = nn.Linear(2 * f, config.tokens)
        self.draft_head = nn.Embedding(config.tokens + 1, config.tokens)
        nn.init.zeros_(self.draft_head.weight)

    def forward(self, cells: Tensor, columns: Tensor, draft: Tensor, low: Tensor) -> Tensor:
        """cells and draft int64 [b, x, y, z], columns int64 [b, 5, x, z], low int64 [b] -> logits [b, x, y, z, tokens].

        The draft is what the columns alone would fill the cells with; `low` is y of the crop's lowest layer.
        """
        config = self.config
        _, sx, sy, _ = cells.shape
        height, ground, level, rise, top = columns.unsqueeze(3).unbind(1)  # [b, x, 1, z]
        y = (low[:, None] + torch.arange(sy, device=low.device))[:, None, :, None]
        over = (y - height).clamp(-_UNDER, _OVER) + _UNDER
        over = torch.where(height == UNKNOWN, _OVER + _UNDER + 1, over)
        base = torch.maximum(height, torch.where(level == UNKNOWN, 0, level))
        vague = (height == UNKNOWN) | (rise == UNKNOWN)
        peak = (y - base - rise).clamp(-_PEAK_UNDER, _PEAK_OVER) + _PEAK_UNDER
        peak = torch.where(vague | (rise == RISES - 1), _PEAK_OVER + _PEAK_UNDER + 1, peak)
        wet = torch.where(level == UNKNOWN, 2, ((y > height) & (y <= level)).long())
        guess = torch.where(draft == UNKNOWN, config.tokens, draft)
        x = (
            self.embed(torch.where(cells == UNKNOWN, config.tokens, cells))
            + self.over_ground(over)
            + self.over_peak(peak)
            + self.flooded(wet)
            + self.altitude(y)
            + self.ground(torch.where(ground == UNKNOWN, config.tokens, ground))
            + self.top(torch.where(top == UNKNOWN, config.tokens, top))
            + self.draft(guess)
        )
        p = config.patch
        grouped = rearrange(x, "b (x i) (y j) (z k) f -> b (x y z) (i j k f)", i=p, j=p, k=p)
        hidden = self.patches(grouped) + self.pos_embed
        for block in self.blocks:
            hidden = block(hidden)
        spread = rearrange(
            self.unpatch(self.norm(hidden)), "b (x y z) (i j k f) -> b (x i) (y j) (z k) f",
            x=sx // p, y=sy // p, i=p, j=p, k=p,
        )  # fmt: skip
        joined = self.join(torch.cat((x, spread), dim=-1).permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
        return self.head(functional.gelu(joined, approximate="tanh")) + self.draft_head(guess)
