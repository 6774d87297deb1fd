"""Frames to latent pictures sixteen times smaller and back: the first stage of the latent arm of the trial.

A plain convolutional autoencoder after TAESD (https://github.com/madebyollin/taesd). Its latents are bounded, so a
latent is kept like any picture: as bytes, only with more channels. What dreams pictures then dreams latents too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.model.step import to_bytes, to_unit

LATENT_CHANNELS = 32
WIDTHS: tuple[int, int, int] = (96, 128, 256)
"""Channels at 1/4, 1/8 and 1/16 of the frame's resolution."""
FINEST_CELL = 4
"""Side of the square of pixels that the finest convolutions work on."""


class Residual(nn.Module):
    """Two 3x3 convolutions around which the picture is carried on; they give zero until they are trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> the same shape."""
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class Tokenizer(nn.Module):
    """The encoder is light; most of the work, about 0.7 GMAC for 160x96, is the decoder's."""

    def __init__(self, channels: int = LATENT_CHANNELS, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        fine, middle, coarse = widths
        colours = 3 * FINEST_CELL**2
        self.encoder = nn.Sequential(
            nn.Conv2d(3, fine, FINEST_CELL, stride=FINEST_CELL),
            nn.SiLU(),
            nn.Conv2d(fine, middle, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(middle, coarse, 3, stride=2, padding=1),
            Residual(coarse),
            nn.Conv2d(coarse, channels, 1),
            nn.Tanh(),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, coarse, 3, padding=1),
            *(Residual(coarse), Residual(coarse)),
            nn.Conv2d(coarse, 4 * middle, 1),
            nn.PixelShuffle(2),
            *(Residual(middle), Residual(middle)),
            nn.Conv2d(middle, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(Residual(fine), Residual(fine)),
            nn.Conv2d(fine, colours, 3, padding=1),
            nn.PixelShuffle(FINEST_CELL),
        )

    def encode(self, frames: Tensor) -> Tensor:
        """[b, 3, h, w] in -1..1 -> latents [b, channels, h/16, w/16] in -1..1."""
        return self.encoder(frames)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [b, channels, h/16, w/16], exact or a little wrong -> frames [b, 3, h, w], about -1..1."""
        return self.decoder(latents)

    @torch.no_grad()
    def shrink(self, frames: Tensor) -> Tensor:
        """uint8 frames [b, t, h, w, 3] -> uint8 latents [b, t, h/16, w/16, channels]."""
        return to_bytes(self.encode(to_unit(frames).flatten(0, 1)).float()).unflatten(0, frames.shape[:2])

    @torch.no_grad()
    def enlarge(self, latents: Tensor) -> Tensor:
        """The inverse of `shrink`, as nearly as the latents allow."""
        return to_bytes(self.decode(to_unit(latents).flatten(0, 1)).float()).unflatten(0, latents.shape[:2])
