"""One denoising pass as it is exported and played: plain arrays in, plain arrays out.

Both backends run this very module (or its ONNX export), so that what is parity-tested is what is played.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reverie.model.layers import Memory
from reverie.model.signature import OUTPUTS
from reverie.model.world_model import Context, WorldModel


def to_unit(frames: Tensor) -> Tensor:
    """uint8 frames [..., h, w, 3] as float [..., 3, h, w] in -1..1."""
    return frames.movedim(-1, -3).float() / 127.5 - 1


def to_bytes(frames: Tensor) -> Tensor:
    """The inverse of `to_unit`, rounded and clipped."""
    return (frames * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)


class DreamStep(nn.Module):
    """Inputs and outputs are those of `reverie.model.signature`."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        noised: Tensor,
        level: Tensor,
        size: Tensor,
        past: Tensor,
        keys: Tensor,
        values: Tensor,
        ages: Tensor,
        action: Tensor,
        last_action: Tensor,
        turn: Tensor,
        pitch: Tensor,
        key: Tensor,
        way: Tensor,
        rest: Tensor,
        pace: Tensor,
    ) -> tuple[Tensor, ...]:
        """See `reverie.model.signature` for shapes."""
        config = self.model.config
        stacked = to_unit(torch.stack([past[:, age - 1] for age in config.history], dim=1))
        context = Context(
            past=stacked[:, None],
            action=action[:, None],
            last_action=last_action[:, None],
            turn=turn[:, None],
            pitch=pitch[:, None],
            context_noise=torch.zeros_like(pitch)[:, None],
            key=to_unit(key)[:, None],
            way=way[:, None],
            rest=to_unit(rest)[:, None],
            pace=pace[:, None],
        )
        memory = [Memory(keys[:, index], values[:, index]) for index in range(len(config.memory_layers))]
        all_ages = torch.cat((ages, torch.zeros_like(ages[:, :1])), dim=1)[:, None]
        out = self.model(noised[:, None], level[:, None], size[:, None], context, all_ages, memory)
        results = {
            "clean": out.frame[:, 0],
            "frame": to_bytes(out.frame[:, 0]),
            "new_keys": torch.stack([kept.keys[:, 0] for kept in out.memory], dim=1),
            "new_values": torch.stack([kept.values[:, 0] for kept in out.memory], dim=1),
            "events": out.events[:, 0].sigmoid(),
            "travel": out.travel[:, 0],
            "seen_pitch": out.pitch[:, 0] * 90,
            "depth": out.depth[:, 0].expm1(),
        }
        return tuple(results[name] for name in OUTPUTS)
