"""The lifter's network: for each pixel, which crossing of its ray with a whole plane is the face that it sees?

Faces of cells lie on planes at whole coordinates, so that a right answer has no error of depth. A U-Net gives every
pixel a feature; a small MLP scores the pixel's crossings with the 32 nearest planes of each axis, and "farther", from
that feature and the crossing's own coordinates. The camera is known and is turned by whole quarters of a circle
beforehand, so that its yaw lies within 45 degrees of an axis.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.blocks import Attention, ConvBlock, sinusoids_2d

CROSSING_FREQUENCIES = 6
CROSSING_FEATURES = 3 + 3 + 2 * CROSSING_FREQUENCIES + 4 + 3 + 2
IMPOSSIBLE = -1e4
"""Score of a crossing beyond the reach."""
RISK = 0.15
"""Chance that a ray has met a face, up to which the way before it counts as clear."""
CLEAR_FROM, CLEAR_STEP, CLEAR_STEPS = 0.25, 1.1, 52
"""Metres of the nearest distance at which that chance is asked for, the factor from one to the next, and how many."""
FARTHER = 1e9
"""Metres that stand for "farther than the reach"."""


class PixelAnswer(NamedTuple):
    """Of pixels [n]: `distance` in metres to the likeliest crossing (FARTHER beyond the reach), `chance` its
    probability, `clear` metres along which a face is met with no more than a chance of `RISK`, and `token`."""

    distance: Tensor
    chance: Tensor
    clear: Tensor
    token: Tensor


@dataclass(frozen=True, slots=True)
class LiftConfig:
    """Sizes of the network."""

    tokens: int
    """Kinds of surface to tell apart: the vocabulary's tokens and the kinds of entity."""
    channels: tuple[int, ...] = (24, 56, 96, 144, 192)
    """From full resolution down, each level half as large."""
    blocks: tuple[int, ...] = (0, 1, 2, 2, 2)
    """Residual blocks of the encoder, by level."""
    attention: int = 3
    """Transformer layers at the coarsest level."""
    feature: int = 64
    reach: int = 32
    """Planes of each axis, and metres, within which faces are told apart."""

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `LiftConfig(**...)` with lists for tuples."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LiftConfig:
        """From JSON."""
        sizes: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**sizes)


class Crossings(NamedTuple):
    """`distance` float [n, 3 * reach] metres along each ray, `features` float [n, 3 * reach, CROSSING_FEATURES]."""

    distance: Tensor
    features: Tensor


def crossings(eye: Tensor, direction: Tensor, reach: int) -> Crossings:
    """Where rays meet the planes at whole coordinates.

    `eye` float [n, 3] is the eye's place within its cell, 0 to 1; `direction` float [n, 3] unit vectors.
    """
    n = direction.shape[0]
    steps = torch.arange(reach, dtype=torch.float32, device=eye.device)
    distances, features = [], []
    for axis in range(3):
        along = direction[:, axis : axis + 1]
        ahead = (along > 0).float()
        first = ahead * (1 - eye[:, axis : axis + 1]) + (1 - ahead) * eye[:, axis : axis + 1]
        off_plane = first + steps[None]
        t = off_plane / along.abs().clamp_min(1e-4)
        point = eye[:, None] + direction[:, None] * t[..., None]
        others = [other for other in range(3) if other != axis]
        on_face = point[..., others] * 2 * math.pi
        log_t = torch.log(t.clamp(0.05, 200.0))
        waves = [wave(log_t * 0.6 * 2**k) for k in range(CROSSING_FREQUENCIES) for wave in (torch.sin, torch.cos)]
        side = torch.zeros(n, reach, 3, device=eye.device)
        side[..., axis] = along.sign()
        height = (off_plane * along.sign() / 4).clamp(-8, 8) * (1.0 if axis == 1 else 0.0)
        features.append(
            torch.cat(
                [
                    torch.stack([log_t, (t / 16).clamp(max=4), 1 / t.clamp_min(0.2), *waves, height], -1),
                    ((point - eye[:, None]) / 8).clamp(-4, 4),
                    torch.sin(on_face),
                    torch.cos(on_face),
                    side,
                    along.abs()[..., None].expand(n, reach, 1),
                ],
                -1,
            )
        )
        distances.append(t)
    return Crossings(torch.cat(distances, 1), torch.cat(features, 1))


class Lifter(nn.Module):
    """See the module's docstring. `features` first, then `scores` and `tokens` for the pixels of interest."""

    def __init__(self, config: LiftConfig) -> None:
        super().__init__()
        self.config = config
        c, f = config.channels, config.feature
        levels = len(c)
        self.stem = nn.Conv2d(6, c[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(ConvBlock(c[i]) for _ in range(config.blocks[i]))) for i in range(levels)
        )
        self.down = nn.ModuleList(nn.Conv2d(c[i], c[i + 1], 2, 2) for i in range(levels - 1))
        self.attention = nn.Sequential(*(Attention(c[-1]) for _ in range(config.attention)))
        self.up = nn.ModuleList(nn.Conv2d(c[i + 1], c[i], 1) for i in range(levels - 1))
        self.decoder = nn.ModuleList(nn.Identity() if i == 0 else ConvBlock(c[i]) for i in range(levels - 1))
        self.coarse, self.fine = nn.Conv2d(c[1], f, 1), nn.Conv2d(c[0], f, 1)
        self.token_head = nn.Sequential(nn.ReLU(), nn.Linear(f, 64), nn.ReLU(), nn.Linear(64, config.tokens))
        self.pixel = nn.Sequential(nn.ReLU(), nn.Linear(f, f))
        self.gate = nn.Sequential(nn.ReLU(), nn.Linear(f, f))
        self.crossing = nn.Linear(CROSSING_FEATURES, f)
        self.score = nn.Sequential(nn.ReLU(), nn.Linear(f, f), nn.ReLU(), nn.Linear(f, 1))
        self.far = nn.Sequential(nn.ReLU(), nn.Linear(f, 1))

    def features(self, image: Tensor, directions: Tensor) -> Tensor:
        """float [b, h, w, feature] of pictures [b, 3, h, w] (-1 to 1); pixels look in `directions` [b, h, w, 3]."""
        x = self.stem(torch.cat([image, directions.permute(0, 3, 1, 2)], 1))
        skips = []
        for i, blocks in enumerate(self.encoder):
            x = blocks(x)
            if i < len(self.down):
                skips.append(x)
                x = self.down[i](x)
        b, c, h, w = x.shape
        places = x.flatten(2).transpose(1, 2) + sinusoids_2d(c, h, w, x.device)
        x = self.attention(places).transpose(1, 2).reshape(b, c, h, w)
        coarse = x
        for i in reversed(range(len(self.up))):
            x = self.decoder[i](skips[i] + F.interpolate(self.up[i](x), scale_factor=2.0, mode="nearest"))
            if i == 1:
                coarse = self.coarse(x)
        full = self.fine(x) + F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return full.permute(0, 2, 3, 1)

    def scores(self, feature: Tensor, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [n, 3 * reach + 1], metres [n, 3 * reach]) for `feature` [n, f]; the last logit is "farther"."""
        met = crossings(eye, direction, self.config.reach)
        mixed = self.pixel(feature)[:, None] + self.crossing(met.features) * (1 + self.gate(feature)[:, None])
        logits = self.score(mixed)[..., 0]
        logits = logits.masked_fill(met.distance > self.config.reach * 1.02, IMPOSSIBLE)
        return torch.cat([logits, self.far(feature)], 1), met.distance

    def answer(self, feature: Tensor, eye: Tensor, direction: Tensor) -> PixelAnswer:
        """What pixels with `feature` [n, f] show, seen from `eye` [n, 3] in `direction` [n, 3]."""
        logits, met = self.scores(feature, eye, direction)
        chances = logits.float().softmax(1)
        chance, choice = chances.max(1)
        farther = torch.full_like(met[:, :1], FARTHER)
        distance = torch.cat([met, farther], 1).gather(1, choice[:, None])[:, 0]
        steps = CLEAR_FROM * CLEAR_STEP ** torch.arange(CLEAR_STEPS, device=met.device, dtype=met.dtype)
        before = torch.stack([(chances[:, :-1] * (met < step)).sum(1) for step in steps], 1)
        count = (before <= RISK).sum(1)
        clear = torch.where(count == CLEAR_STEPS, FARTHER, CLEAR_FROM * CLEAR_STEP ** (count - 1).to(met.dtype))
        return PixelAnswer(distance, chance, torch.where(count == 0, 0.0, clear), self.tokens(feature).argmax(1))

    def tokens(self, feature: Tensor) -> Tensor:
        """Logits [n, tokens] of what a pixel shows."""
        return self.token_head(feature)
