"""The world model over latents instead of pixels: the other arm of the trial.

It has the trunk, the conditions and the signature of `WorldModel`; frames are latent pictures of a `Tokenizer`, one
token for each of their pixels. So whatever trains or rolls out the one does the other.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from reverie.model.config import ModelConfig
from reverie.model.layers import Memory, zero_init
from reverie.model.tokenizer import LATENT_CHANNELS
from reverie.model.world_model import FIRST_DEPTH, Context, Prediction, WorldModel


class LatentModel(WorldModel):
    """The denoiser of latents. `config` is that of the frames; untrained, it repeats the latent before."""

    def __init__(self, config: ModelConfig, channels: int = LATENT_CHANNELS) -> None:
        super().__init__(config)
        cells = (config.patch // config.cell) ** 2
        self.parts = (channels, 2 * cells, cells)
        self.embed = nn.Linear((len(config.history) + 1) * channels, config.width)  # type: ignore[assignment]
        head = zero_init(nn.Linear(config.width, sum(self.parts)))
        with torch.no_grad():
            head.bias[-cells:] = FIRST_DEPTH
        self.head = head  # type: ignore[assignment]

    def forward(
        self,
        noised: Tensor,
        level: Tensor,
        size: Tensor,
        context: Context,
        ages: Tensor,
        memory: list[Memory] | None = None,
    ) -> Prediction:
        """As `WorldModel.forward`, but `noised` [b, t, c, h/16, w/16] and `context.past` [b, t, n, c, h/16, w/16] are
        latents, and so is the `frame` of the prediction."""
        rows, columns = noised.shape[-2:]
        stacked = torch.cat((noised.unsqueeze(2), context.past), dim=2)
        x = self.embed(rearrange(stacked, "b t n c rows columns -> b t (rows columns) (n c)"))
        x, fresh = self.trunk(x, (rows, columns), level, size, context, ages, memory)
        change, flow, depth = self.head(x).float().split(self.parts, dim=-1)
        side = self.config.patch // self.config.cell
        travel, events, pitch = self.read(x, context.pace)
        return Prediction(
            frame=context.past[:, :, 0] + rearrange(change, "b t (rows columns) c -> b t c rows columns", rows=rows),
            flow=rearrange(flow, "b t (r c) (i j two) -> b t (r i) (c j) two", r=rows, i=side, two=2),
            depth=rearrange(depth, "b t (r c) (i j) -> b t (r i) (c j)", r=rows, i=side),
            travel=travel,
            events=events,
            pitch=pitch,
            memory=fresh,
        )
