"""The transformer's parts. Letters: b batch, t frames, p tokens of a frame, d width, n heads."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


def zero_init(layer: nn.Linear) -> nn.Linear:
    """The same layer, giving zero until it is trained (k-diffusion's `zero_init`)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """adaLN (DiT, arXiv 2212.09748): x [b, t, p, d] with a shift and a scale [b, t, d] for each frame."""
    return x * (1 + scale.unsqueeze(2)) + shift.unsqueeze(2)


def rotary_tables(rows: int, columns: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin [rows * columns, head_width / 2] of rotary positions (RoFormer, arXiv 2104.09864) over a grid.

    Half turns with the row, half with the column, measured from the middle so that other sizes look familiar.
    """
    quarter = head_width // 4
    frequency = 1.0 / 100 ** (torch.arange(quarter, device=device) / quarter)
    row = torch.arange(rows, device=device) - (rows - 1) / 2
    column = torch.arange(columns, device=device) - (columns - 1) / 2
    angles = torch.cat(
        (
            (row[:, None, None] * frequency).expand(rows, columns, quarter),
            (column[None, :, None] * frequency).expand(rows, columns, quarter),
        ),
        dim=-1,
    ).reshape(rows * columns, 2 * quarter)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions applied to x [..., p, head width]."""
    cos, sin = (table.to(x.dtype) for table in tables)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class SpaceAttention(nn.Module):
    """Attention among the tokens of one frame, with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.out = zero_init(nn.Linear(width, width, bias=False))

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        b = x.shape[0]
        q, k, v = rearrange(self.qkv(x), "b t p (three n d) -> three (b t) n p d", three=3, n=self.heads)
        q, k = rotate(self.query_norm(q), tables), rotate(self.key_norm(k), tables)
        mixed = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return self.out(rearrange(mixed, "(b t) n p d -> b t p (n d)", b=b))


class Memory(NamedTuple):
    """What one memory layer remembers of past frames: keys and values [b, m, p, n d], newest or oldest in any order."""

    keys: Tensor
    values: Tensor


class MemoryAttention(nn.Module):
    """Attention from each frame to all tokens of itself and of remembered and earlier frames (grouped queries, GQA).

    A head's distaste for old frames is fixed (ALiBi, arXiv 2108.12409), and the first head has none, so nothing about
    the order of the remembered frames needs to be learned, or kept but their ages.
    """

    slopes: Tensor

    def __init__(self, width: int, heads: int, key_heads: int) -> None:
        super().__init__()
        self.heads, self.key_heads = heads, key_heads
        head_width = width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * key_heads * head_width, bias=False)
        self.query_norm = nn.RMSNorm(head_width, eps=1e-6)
        self.key_norm = nn.RMSNorm(head_width, eps=1e-6)
        self.out = zero_init(nn.Linear(width, width, bias=False))
        slopes = torch.tensor([0.0, *(2.0 ** -(1 + index) for index in range(heads - 1))])
        self.register_buffer("slopes", slopes, persistent=False)

    def forward(
        self, x: Tensor, tables: tuple[Tensor, Tensor], ages: Tensor, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        """Returns the mixture [b, t, p, d] and what to remember of the given frames.

        x [b, t, p, d]; ages [b, t, m + t]: how many ticks each remembered, then each given frame lies before the frame
        that asks, below zero where it must not be seen.
        """
        _, t, p, _ = x.shape
        q = rearrange(self.query(x), "b t p (n d) -> b n t p d", n=self.heads)
        k, v = rearrange(self.key_value(x), "b t p (two n d) -> two b n t p d", two=2, n=self.key_heads)
        q, k = rotate(self.query_norm(q), tables).to(v.dtype), rotate(self.key_norm(k), tables).to(v.dtype)
        fresh = Memory(rearrange(k, "b n t p d -> b t p (n d)"), rearrange(v, "b n t p d -> b t p (n d)"))
        keys, values = k, v
        if memory is not None:
            split = "b m p (n d) -> b n m p d"
            keys = torch.cat((rearrange(memory.keys.to(k.dtype), split, n=self.key_heads), k), dim=2)
            values = torch.cat((rearrange(memory.values.to(v.dtype), split, n=self.key_heads), v), dim=2)
        share = self.heads // self.key_heads
        keys, values = (
            item[:, :, None].expand(-1, -1, share, -1, -1, -1).flatten(1, 2).flatten(2, 3) for item in (keys, values)
        )
        bias = -self.slopes[None, :, None, None] * ages[:, None]
        bias = bias.masked_fill(ages[:, None] < 0, -1e4)
        bias = bias[:, :, :, None, :, None].expand(-1, -1, -1, p, -1, p).flatten(2, 3).flatten(3, 4)
        mixed = functional.scaled_dot_product_attention(q.flatten(2, 3), keys, values, attn_mask=bias.to(v.dtype))
        return self.out(rearrange(mixed, "b n (t p) d -> b t p (n d)", t=t)), fresh


class Block(nn.Module):
    """Space attention, in some blocks memory attention, then an MLP.

    Each is shifted, scaled and gated by the frame's condition.
    """

    def __init__(self, width: int, heads: int, memory_heads: int | None) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.space = SpaceAttention(width, heads)
        self.memory = None if memory_heads is None else MemoryAttention(width, heads, memory_heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), zero_init(nn.Linear(4 * width, width))
        )
        self.parts = 2 if self.memory is None else 3
        self.condition = nn.Linear(width, 3 * self.parts * width)
        nn.init.normal_(self.condition.weight, std=0.02)
        nn.init.zeros_(self.condition.bias)

    def forward(
        self, x: Tensor, condition: Tensor, tables: tuple[Tensor, Tensor], ages: Tensor, memory: Memory | None
    ) -> tuple[Tensor, Memory | None]:
        """x [b, t, p, d], condition [b, t, d]."""
        fresh = None
        controls = self.condition(condition).unflatten(-1, (self.parts, 3, -1))

        def inner(part: int) -> Tensor:
            return modulate(self.norm(x), controls[:, :, part, 0], controls[:, :, part, 1])

        def gate(part: int) -> Tensor:
            return 1 + controls[:, :, part, 2].unsqueeze(2)

        x = x + gate(0) * self.space(inner(0), tables)
        if self.memory is not None:
            mixed, fresh = self.memory(inner(2), tables, ages, memory)
            x = x + gate(2) * mixed
        x = x + gate(1) * self.mlp(inner(1))
        return x, fresh


class LevelEmbedding(nn.Module):
    """A number in 0..1 as a vector: sines and cosines, then two layers (DiT's timestep embedding)."""

    frequency: Tensor

    def __init__(self, width: int, frequencies: int = 32) -> None:
        super().__init__()
        self.register_buffer("frequency", math.pi * 2.0 ** torch.linspace(0, 6, frequencies), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, level: Tensor) -> Tensor:
        """level [...] -> [..., d]."""
        angle = level.unsqueeze(-1) * self.frequency
        return self.layers(torch.cat((angle.sin(), angle.cos()), dim=-1))
