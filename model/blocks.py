"""Layers that the networks share."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.Conv3d)


def zero_init(layer: Layer) -> Layer:
    """The same layer, giving zero until it is trained (k-diffusion's `zero_init`)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ConvBlock(nn.Module):
    """Residual block of two 3x3 convolutions with leaky rectifiers , the identity until it is trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = zero_init(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(F.leaky_relu(self.norm(x)))))


class Attention(nn.Module):
    """Attention over all places, written out: faster to train on a CPU than the fused kind."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zero_init(nn.Linear(width, width))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.GELU(), zero_init(nn.Linear(3 * width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-1, -2) / math.sqrt(c // self.heads)).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, c))
        return x + self.mlp(x)


def sinusoids_2d(width: int, h: int, w: int, device: torch.device) -> Tensor:
    """float [h * w, width]: sines and cosines of both coordinates, so that any size of picture has places."""
    quarter = width // 4
    rates = 3.0 ** -torch.arange(quarter, device=device).float().mul(6 / quarter)
    y, x = torch.arange(h, device=device).float(), torch.arange(w, device=device).float()
    rows = torch.cat([torch.sin(y[:, None] * rates), torch.cos(y[:, None] * rates)], 1)
    columns = torch.cat([torch.sin(x[:, None] * rates), torch.cos(x[:, None] * rates)], 1)
    return torch.cat([rows[:, None].expand(h, w, -1), columns[None].expand(h, w, -1)], 2).reshape(h * w, 4 * quarter)
