"""The frame model's network: neural textures, light and air for each layer of a pixel, then a small U-Net.

A learned deferred shader (Thies et al. 2019, Deferred Neural Rendering; PERSIST, arXiv 2603.03482): the caster says
what is where, this says how it looks. The U-Net smooths edges and draws what no single pixel knows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.blocks import ConvBlock
from reverie.model.frame.config import FrameConfig
from reverie.model.frame.features import DETAILS, HOUR_FEATURES, NUMBERS


class Shader(nn.Module):
    """Light, air and texture of single pixels: float [b, h, w, shade]. Each pixel and layer is a row of a matrix."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        c = config
        self.lobe_direction = nn.Linear(HOUR_FEATURES, 3 * c.lobes)
        self.lobe_sharpness = nn.Parameter(torch.logspace(0, 2.5, c.lobes).log())
        nn.init.normal_(self.lobe_direction.weight, std=0.7)
        self.light1 = nn.Linear(NUMBERS + c.kind + c.detail, c.light)
        self.about1 = nn.Linear(3 + HOUR_FEATURES + c.lobes, c.light, bias=False)
        self.light2 = nn.Linear(c.light, c.light)
        self.gate = nn.Linear(c.light, c.texture)
        self.mix = nn.Linear(c.texture + c.light + c.kind + c.detail, c.shade)
        self.opacity = nn.Linear(c.texture + c.light, 1)

    def forward(self, texture: Tensor, kind: Tensor, numbers: Tensor, rays: Tensor, hour: Tensor) -> Tensor:
        """`texture`, `kind`, `numbers` [b, h, w, 2, n], by layer; `rays` [b, h, w, 3], `hour` [b, 4]."""
        b, h, w, _ = rays.shape
        toward = F.normalize(self.lobe_direction(hour).view(b, 1, -1, 3), dim=3)
        facing = rays.reshape(b, h * w, 3) @ toward[:, 0].transpose(1, 2)
        lobes = torch.exp((facing - 1) * self.lobe_sharpness.exp()).view(b, h, w, -1)
        about = torch.cat([rays, hour[:, None, None].expand(b, h, w, hour.shape[1]), lobes], 3)
        light = F.relu(self.light1(torch.cat([numbers, kind], 4)) + self.about1(about)[:, :, :, None])
        light = F.relu(self.light2(light))
        lit = texture * (1 + self.gate(light))
        shade = F.relu(self.mix(torch.cat([lit, light, kind], 4)))
        opacity = torch.sigmoid(self.opacity(torch.cat([texture[:, :, :, 0], light[:, :, :, 0]], 3)))
        return shade[:, :, :, 0] * opacity + shade[:, :, :, 1] * (1 - opacity)


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
        shade = self.shader(texture, kind, numbers, rays, hour).permute(0, 3, 1, 2)
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
    """Tables of textures, kinds and details, and the network that reads them."""

    def __init__(self, config: FrameConfig) -> None:
        super().__init__()
        self.config = config
        layout = config.layout
        self.textures = nn.Parameter(torch.randn(layout.rows, config.texture) * 0.1)
        self.kinds = nn.Parameter(torch.randn(layout.kinds, config.kind) * 0.3)
        self.details = nn.Parameter(torch.randn(DETAILS, config.detail) * 0.1)
        self.net = FrameNet(config)

    def forward(
        self,
        texels: Tensor,
        weights: Tensor,
        kinds: Tensor,
        details: Tensor,
        numbers: Tensor,
        rays: Tensor,
        hour: Tensor,
    ) -> Tensor:
        """float [b, 3, h, w] of batches of `FrameInput`: texels and weights [b, h, w, 2, 8], kinds and details
        [b, h, w, 2], numbers [b, h, w, 2, n], rays [b, h, w, 3], hour [b, 4]."""
        b, h, w, layers, taps = texels.shape
        texture = F.embedding_bag(
            texels.reshape(-1, taps), self.textures, per_sample_weights=weights.reshape(-1, taps), mode="sum"
        )
        kind = torch.cat([F.embedding(kinds, self.kinds), F.embedding(details, self.details)], 4)
        return self.net(texture.view(b, h, w, layers, -1), kind, numbers, rays, hour)
