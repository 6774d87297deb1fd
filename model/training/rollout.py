"""The model's own dreams inside training: for contexts that carry its own errors, for samples, for trying it out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reverie.model import flow, geometry
from reverie.model.layers import Memory
from reverie.model.step import to_bytes, to_unit
from reverie.model.training.data import Batch, on_screen, resting
from reverie.model.world_model import Context, WorldModel


class Conditions(NamedTuple):
    """A batch as the network wants it."""

    context: Context
    target: Tensor
    """[b, t, 3, h, w] in -1..1."""
    before: Tensor
    """[b, t, 3, h, w]: the newest past frame of each target."""
    known: Tensor
    """[b, t, 3, h, w]: the same, turned with the camera beneath the overlay; grey where nothing of it comes to lie."""


def stack_past(frames: Tensor, ticks: int, history: tuple[int, ...]) -> Tensor:
    """Of frames [b, past + t, 3, h, w] the past of each of the last `ticks`: [b, t, len(history), 3, h, w]."""
    first = frames.shape[1] - ticks
    return torch.stack([frames[:, first - age : first - age + ticks] for age in history], dim=2)


def turned(before: Tensor, batch: Batch, overlay: Tensor, field_of_view: float) -> Tensor:
    """`Conditions.known` of the frames `before` [b, t, 3, h, w] with an `overlay` [h, w]."""
    b, (height, width) = len(before), overlay.shape
    grid = geometry.rotation_grid(batch.pitch.flatten(), batch.turn.flatten(0, 1), (height, width), field_of_view)
    moved = geometry.pick(before.flatten(0, 1), grid) * geometry.inside(grid)
    return torch.where(overlay > 0, before, moved.unflatten(0, (b, -1)))


def conditions(batch: Batch, model: WorldModel, noise: Tensor, generator: torch.Generator) -> Conditions:
    """The batch as `model` wants it, with Gaussian noise of `noise` [b] in its past frames."""
    config, history = model.config, model.config.history
    frames = to_unit(batch.past)
    ticks = batch.action.shape[1]
    spoiled = frames
    if bool((noise > 0).any()):
        grain = torch.randn(frames.shape, generator=generator, device=frames.device)
        spoiled = frames + noise[:, None, None, None, None] * grain
    key, newest = to_unit(batch.key), resting(to_unit(batch.rest), frames[:, -ticks:], batch.rest_tick)
    context = Context(
        past=stack_past(spoiled, ticks, history),
        action=batch.action,
        last_action=batch.last_action,
        turn=batch.turn,
        pitch=batch.pitch,
        context_noise=noise[:, None].expand(-1, ticks),
        key=key,
        way=batch.way,
        rest=on_screen(newest, key, batch.way, batch.at_rest),
        pace=batch.pace,
    )
    before = stack_past(frames, ticks, (1,))[:, :, 0]
    height, width = batch.past.shape[2:4]
    known = turned(before, batch, model.screen((height, width)), config.field_of_view)
    return Conditions(context, frames[:, -ticks:], before, known)


class _Pass:
    """The model as `flow.sample` wants it, keeping what the last pass left to remember.

    Never compiled, since its memory is longer with every tick.
    """

    def __init__(self, model: WorldModel, context: Context, ages: Tensor, memory: list[Memory] | None) -> None:
        self.model, self.context, self.ages, self.past_memory = model, context, ages, memory
        self.memory: list[Memory] = []
        self.travel = ages.new_zeros(0)

    def __call__(self, z: Tensor, level: float, size: float) -> Tensor:
        levels, sizes = (torch.full(z.shape[:2], number, device=z.device) for number in (level, size))
        out = self.model.forward(z, levels, sizes, self.context, self.ages, self.past_memory)
        self.memory, self.travel = out.memory, out.travel
        return out.frame


class Dreamed(NamedTuple):
    """What a model dreamed of a batch."""

    frames: Tensor
    """uint8 [b, t, h, w, 3]."""
    pace: Tensor
    """[b, t, 4]: its own pace before each frame, as in `Batch`."""
    last_pace: Tensor
    """[b, 4]: that before the frame that would come next."""


def rollout(model: WorldModel, batch: Batch, steps: int, generator: torch.Generator) -> Tensor:
    """The frames of `dream`: uint8 [b, t, h, w, 3]."""
    return dream(model, batch, steps, generator).frames


@torch.no_grad()
def dream(model: WorldModel, batch: Batch, steps: int, generator: torch.Generator) -> Dreamed:
    """Dreams all ticks of a batch one after the other.

    Just as a player would see them: each frame is rounded to bytes, past and pace are the model's own, and the memory
    is a list of what earlier passes left behind. Where somebody edits the world the dream is given the edited frame, if
    the batch holds it, and goes on from there.
    """
    config = model.config
    b, ticks = batch.action.shape[:2]
    past, given = to_unit(batch.past[:, : config.past]), batch.past[:, config.past :]
    edited = batch.edited[:, :, None, None, None] if len(given[0]) == ticks else None
    device = past.device
    kept: list[list[Memory]] = [[] for _ in config.memory_layers]
    dreamed, paces = [batch.rest[:, None][:, :0]], [batch.pace[:, :1]]  # no frame yet, of the right shape
    for tick in range(ticks):
        key, way = to_unit(batch.key[:, tick : tick + 1]), batch.way[:, tick : tick + 1]
        newest = to_unit(resting(batch.rest, torch.cat(dreamed, dim=1), batch.rest_tick[:, tick : tick + 1]))
        context = Context(
            past=stack_past(torch.cat((past, past[:, -1:]), dim=1), 1, config.history),
            action=batch.action[:, tick : tick + 1],
            last_action=batch.last_action[:, tick : tick + 1],
            turn=batch.turn[:, tick : tick + 1],
            pitch=batch.pitch[:, tick : tick + 1],
            context_noise=torch.zeros(b, 1, device=device),
            key=key,
            way=way,
            rest=on_screen(newest, key, way, batch.at_rest[:, tick : tick + 1]),
            pace=paces[-1],
        )
        count = min(tick, config.memory)
        ages = torch.arange(count, -1, -1, device=device, dtype=torch.float32).expand(b, 1, count + 1)
        memory = None
        if count:
            memory = [
                Memory(
                    torch.cat([item.keys for item in layer[-count:]], dim=1),
                    torch.cat([item.values for item in layer[-count:]], dim=1),
                )
                for layer in kept
            ]
        denoise = _Pass(model, context, ages, memory)
        noise = torch.randn((b, 1, *past.shape[2:]), generator=generator, device=device)
        frame = to_bytes(flow.sample(denoise, noise, steps))
        if edited is not None:
            frame = torch.where(edited[:, tick : tick + 1], given[:, tick : tick + 1], frame)
        for layer, item in zip(kept, denoise.memory):
            layer.append(item)
        dreamed.append(frame)
        past = torch.cat((past[:, 1:], to_unit(frame)), dim=1)
        travel = geometry.carry(denoise.travel[:, 0], -batch.turn[:, tick, 1])
        pace = torch.cat((torch.ones_like(travel[:, :1]), travel), dim=1)[:, None]
        if edited is not None:  # a late tick counts as an edit, and nobody knows how far one went in it
            pace = pace * ~batch.edited[:, tick, None, None]
        paces.append(pace)
    return Dreamed(torch.cat(dreamed, dim=1), torch.cat(paces[:-1], dim=1), paces[-1][:, 0])


def with_own_past(batch: Batch, dreamed: Dreamed) -> Batch:
    """The batch with the dreamed frames and paces in the places of the true ones."""
    ticks = dreamed.frames.shape[1]
    return batch._replace(past=torch.cat((batch.past[:, :-ticks], dreamed.frames), dim=1), pace=dreamed.pace)
