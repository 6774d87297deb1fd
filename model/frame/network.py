"""The frame model's network: neural textures, light and air for each layer of a pixel, then a small U-Net.

A learned deferred shader (Thies et al. 2019, Deferred Neural Rendering; PERSIST, arXiv 2603.03482): the caster says
what is where, this says how it looks. The U-Net smooths edges and draws what no single pixel knows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.blocks import ConvBlock
from reverie.model.frame.features import HOUR_FEATURES, NUMBERS, TextureLayout


@dataclass(frozen=True, slots=True)
class FrameConfig:
    """Sizes of the network."""

    tokens: int
    entities: int
    texture: int = 12
    """Channels of a texel."""
    kind: int = 8
    """Channels of what each face of each kind of surface has all over."""
    light: int = 40
    shade: int = 24
    lobes: int = 8
    """Spherical Gaussians about directions that follow the hour: sun, moon, glow (Wang et al. 2009)."""
    channels: tuple[int, ...] = (24, 48, 64)
    """Of the U-Net, from full resolution down."""
    sky_height: float = 96.0
    sky_period: float = 256.0

    @property
    def layout(self) -> TextureLayout:
        """Where textures are in their table."""
        return TextureLayout(self.tokens, self.entities, self.sky_height, self.sky_period)

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FrameConfig:
        """From JSON."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


class Shader(nn.Module):
    """Light, air and texture of single pixels: float [b, shade, h, w]. 1x1 convolutions alone."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        c = config
        self.lobe_direction = nn.Linear(HOUR_FEATURES, 3 * c.lobes)
        self.lobe_sharpness = nn.Parameter(torch.logspace(0, 2.5, c.lobes).log())
        nn.init.normal_(self.lobe_direction.weight, std=0.7)
        inputs = NUMBERS + c.kind + 3 + HOUR_FEATURES + c.lobes
        self.light1, self.light2 = nn.Conv2d(inputs, c.light, 1), nn.Conv2d(c.light, c.light, 1)
        self.gate = nn.Conv2d(c.light, c.texture, 1)
        self.mix = nn.Conv2d(c.texture + c.light + c.kind, c.shade, 1)
        self.opacity = nn.Conv2d(c.texture + c.light, 1, 1)

    def forward(self, texture: Tensor, kind: Tensor, numbers: Tensor, rays: Tensor, hour: Tensor) -> Tensor:
        """`texture` [2 b, c, h, w], `kind` and `numbers` alike, first layers before second ones; `rays` [b, 3, h, w],
        `hour` [b, 4]."""
        b, _, h, w = rays.shape
        toward = F.normalize(self.lobe_direction(hour).view(b, -1, 3), dim=2)
        facing = torch.einsum("bkc,bchw->bkhw", toward, rays)
        lobes = torch.exp((facing - 1) * self.lobe_sharpness.exp()[None, :, None, None])
        about = torch.cat([rays, hour[:, :, None, None].expand(b, hour.shape[1], h, w), lobes], 1)
        light = F.relu(self.light1(torch.cat([numbers, kind, torch.cat([about, about])], 1)))
        light = F.relu(self.light2(light))
        lit = texture * (1 + self.gate(light))
        shade = F.relu(self.mix(torch.cat([lit, light, kind], 1)))
        opacity = torch.sigmoid(self.opacity(torch.cat([texture[:b], light[:b]], 1)))
        return shade[:b] * opacity + shade[b:] * (1 - opacity)


class FrameNet(nn.Module):
    """The picture, float [b, 3, h, w] from 0 to 1 (not clipped), from looked-up textures; what is exported."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        c = config.channels
        self.shader = Shader(config)
        self.stem = nn.Conv2d(config.shade, c[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(c[i], c[i + 1], 2, 2) for i in range(len(c) - 1))
        self.encoder = nn.ModuleList(ConvBlock(c[i + 1]) for i in range(len(c) - 1))
        self.up = nn.ModuleList(nn.Conv2d(c[i + 1], c[i], 1) for i in range(len(c) - 1))
        self.head = nn.Conv2d(c[0], c[0], 3, padding=1)
        self.out = nn.Conv2d(c[0] + config.shade, 3, 1)

    def forward(self, texture: Tensor, kind: Tensor, numbers: Tensor, rays: Tensor, hour: Tensor) -> Tensor:
        """See `Shader.forward`."""
        shade = self.shader(texture, kind, numbers, rays, hour)
        x = F.relu(self.stem(shade))
        skips = []
        for down, block in zip(self.down, self.encoder):
            skips.append(x)
            x = block(down(x))
        for up, skip in zip(reversed(self.up), reversed(skips)):
            x = skip + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
        x = F.relu(self.head(x))
        return self.out(torch.cat([x, shade], 1))


class FrameModel(nn.Module):
    """Tables of textures and kinds, and the network that reads them."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        self.config = config
        layout = config.layout
        self.textures = nn.Parameter(torch.randn(layout.rows, config.texture) * 0.1)
        self.kinds = nn.Parameter(torch.randn(layout.kinds, config.kind) * 0.3)
        self.net = FrameNet(config)

    def forward(
        self, texels: Tensor, weights: Tensor, kinds: Tensor, numbers: Tensor, rays: Tensor, hour: Tensor
    ) -> Tensor:
        """float [b, 3, h, w] of batches of `FrameInput`: texels and weights [b, h, w, 2, 8], kinds [b, h, w, 2],
        numbers [b, h, w, 2, n], rays [b, h, w, 3], hour [b, 4]."""
        b, h, w, layers, taps = texels.shape

        def image(x: Tensor) -> Tensor:
            return x.permute(3, 0, 4, 1, 2).reshape(layers * b, -1, h, w)

        looked = F.embedding_bag(
            texels.reshape(-1, taps), self.textures, per_sample_weights=weights.reshape(-1, taps), mode="sum"
        )
        texture = image(looked.view(b, h, w, layers, -1))
        kind = image(F.embedding(kinds, self.kinds))
        return self.net(texture, kind, image(numbers), rays.permute(0, 3, 1, 2), hour)
