"""One noised frame, its past and an action in; the clean frame and what the model knows about it out.

The hybrid of RECIPES: tokens of 16x16 pixels carry what happens, a light head at a quarter of the resolution draws it.
Every pixel of the new frame is a mixture of candidates: the frame before as the camera's turn and travel move it (once
by picking the nearest pixel, which stays sharp for ever, once by mixing neighbours, which is smooth and has gradients),
the frame before as it stands, an earlier view of the same place, and a newly painted pixel. The turn is known; the
travel and the depth of the scene are predicted, and geometry makes the parallax of them, to which the head adds what
moves by itself. What does not change is thus copied exactly, what moves is moved rather than drawn again, what comes
back into view is remembered, and only what was never seen is invented. Pixels that are painted on the screen (hotbar,
crosshair, hand: the `overlay`) do not move with the world, and the world is not moved from under them; for them the
earlier view counts as it stands, or, while the hands swing, the last frame in which they were at rest.
Letters: b batch, t frames, h w pixels, p tokens of a frame, d width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from reverie.model import geometry
from reverie.model.actions import ACTION_DIM, ACTION_INDEX, CAMERA_SCALE
from reverie.model.config import EVENT_COUNT, ModelConfig
from reverie.model.layers import Block, LevelEmbedding, Memory, rotary_tables, zero_init
from reverie.model.recall import PACE_DIM


class Context(NamedTuple):
    """What a frame is dreamed from."""

    past: Tensor
    """[b, t, len(history), 3, h, w] in -1..1: the stacked past frames, the frame before first."""
    action: Tensor
    """[b, t, 25]."""
    last_action: Tensor
    """[b, t, 25]: that of the tick before; all zero at a start. It tells a key that is held against a wall, where
    nothing moves, from one that has just been pressed."""
    turn: Tensor
    """[b, t, 2]: the camera's real (pitch, yaw) change in degrees."""
    pitch: Tensor
    """[b, t]: the camera's pitch before it, degrees."""
    context_noise: Tensor
    """[b, t]: how noisy the past frames are, 0..1."""
    key: Tensor
    """[b, t, 3, h, w] in -1..1: an earlier view."""
    way: Tensor
    """[b, t, 6]: from there to the frame before, as in `reverie.model.recall.way`; all zero for none."""
    rest: Tensor
    """[b, t, 3, h, w] in -1..1: what is painted on the screen, and how it will be again. While hands are at rest `key`,
    if there is one; while they swing the newest frame in which they were (`reverie.model.recall.rested`)."""
    pace: Tensor
    """[b, t, 4]: the eye's travel in the tick before, as in `reverie.model.recall.pace`; all zero where unknown."""


class Choice(NamedTuple):
    """What the pixels of a frame were mixed of."""

    pictures: Sequence[Tensor]
    """CANDIDATES of [b, t, 3, h, w], about -1..1, without gradients."""
    logits: Tensor
    """[b, t, CANDIDATES, h, w]."""


class Prediction(NamedTuple):
    """What the model says about a frame."""

    frame: Tensor
    """[b, t, 3, h, w], about -1..1."""
    flow: Tensor
    """[b, t, h/cell, w/cell, 2]: parallax and own motion, beyond the camera's turn, in units of the sampling grid."""
    depth: Tensor
    """[b, t, h/cell, w/cell]: log(1 + metres)."""
    travel: Tensor
    """[b, t, 3]: the eye's motion in metres (right, down, ahead of the level camera before)."""
    events: Tensor
    """[b, t, EVENT_COUNT]: logits."""
    pitch: Tensor
    """[b, t]: the camera's pitch after the tick, read off the picture, over 90 degrees."""
    memory: list[Memory]
    """What each memory layer should remember of the given frames."""
    choice: Choice | None = None
    """In training alone."""


CANDIDATES = 5
"""Of each pixel: the frame before moved, by its nearest pixels and by mixing neighbours, the frame before, paint, and
the earlier view moved."""
MOVED = 2
"""So many of them, the first, are the frame before, moved."""
HEIGHTS = 2
"""Channels of `geometry.heights`."""
PICKED_FIRST, KEY_FIRST = 6.0, 3.0
"""Head starts, in logits, of the nearest pixels of the moved frame and of the earlier view among the candidates."""
DECIDED = 2.0
"""At play, and in the dreams that training is given as a past, logits count so many times: a pixel that is chosen by
half keeps half of its blur, and dreams are made of dreams."""
STILL_METRES, STILL_PIXELS = 0.01, 0.3
"""At play, travel and own motion of less than this in a tick are none, and twice as much counts in full: whoever stands
still must not creep, and no motion of the game is that slow."""
FAINT = 0.03
"""At play, a candidate's share of a pixel loses this much and the rest is scaled up, so that the sure copy exactly."""
EXCLUDED = 12.0
"""What a candidate loses, in logits, where it comes from outside its picture, or from or onto the overlay."""
SCREEN_DOUBT = 1.5
"""What an earlier view of the screen loses, in logits, of that head start: most of the screen is as it was a tick ago,
exactly."""
THICK = 5
"""Pixels; thinner parts of the overlay are not taken from an earlier view of the screen."""

PACE_SCALE = 3.0
"""What a pace in metres a tick, cut off at one, is multiplied by on its way into the network."""
PITCH_DOUBT = 2.0
"""Standard deviation, in degrees, of what training gets wrong about the pitch that says where the horizon is: at play
it may have been read off a picture."""
FIRST_DEPTH = 2.5
"""Logarithm of 1 + metres that an untrained model takes everything to be away."""
DEPTH_RANGE = (0.1, 5.0)
"""Smallest and largest log(1 + metres) that the parallax is computed from."""


class PatchEmbedding(nn.Module):
    """Stacked frames to tokens, each frame's patches through a bottleneck of its own (JiT, arXiv 2511.13720)."""

    def __init__(self, frames: int, patch: int, bottleneck: int, width: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(3, bottleneck, patch, stride=patch, bias=False) for _ in range(frames))
        self.mix = nn.Linear(frames * bottleneck, width)

    def forward(self, frames: Tensor) -> Tensor:
        """[b, frames, 3, h, w] -> [b, p, d]."""
        squeezed = torch.cat([layer(frames[:, index]) for index, layer in enumerate(self.squeeze)], dim=1)
        return self.mix(rearrange(squeezed, "b c rows columns -> b (rows columns) c"))


class DetailHead(nn.Module):
    """Tokens and the pictures at hand to pixels: four convolutions over cells of 4x4 pixels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c, side = config.cell_width, config.patch // config.cell
        self.colours = 3 * config.cell**2
        self.choices = CANDIDATES * config.cell**2
        self.spread = nn.Linear(config.width, c * side**2)
        self.join = nn.Conv2d(c + 4 * self.colours + 3 + HEIGHTS, c, 1)
        self.convolve = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(3))
        self.out = nn.Conv2d(c, self.colours + self.choices + 3, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        bias = torch.zeros(self.colours + self.choices + 3)
        bias[self.colours : self.colours + config.cell**2] = PICKED_FIRST
        bias[-3 - config.cell**2 : -3] = KEY_FIRST
        bias[-1] = FIRST_DEPTH
        self.out.bias = nn.Parameter(bias)  # an untrained model moves the frame before with the camera

    def forward(
        self, tokens: Tensor, pictures: Tensor, masks: Tensor, heights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draws from tokens [b, p, d], four pictures [b, 12, h, w], three masks [b, 3, h, w] and `geometry.heights` of
        the cells [b, 2, h/cell, w/cell].

        Returns a painted picture [b, 3, h, w], the candidates' logits [b, CANDIDATES, h, w], flow [b, h/cell, w/cell,
        2] and log depth [b, h/cell, w/cell].
        """
        cell, side = self.config.cell, self.config.patch // self.config.cell
        rows = pictures.shape[-2] // self.config.patch
        spread = rearrange(self.spread(tokens), "b (r c) (d i j) -> b d (r i) (c j)", r=rows, i=side, j=side)
        given = (spread, functional.pixel_unshuffle(pictures, cell), functional.avg_pool2d(masks, cell), heights)
        x = self.join(torch.cat(given, dim=1))
        for layer in self.convolve:
            x = x + layer(functional.silu(x))
        out = self.out(functional.silu(x)).float()
        painted, choices, rest = out.split((self.colours, self.choices, 3), dim=1)
        flow = rearrange(rest[:, :2], "b two r c -> b r c two")
        return functional.pixel_shuffle(painted, cell), functional.pixel_shuffle(choices, cell), flow, rest[:, 2]


class WorldModel(nn.Module):
    """The denoiser of frames. Teacher and student are two sets of its weights."""

    overlay: Tensor
    """[h, w] of the usual size: 1 where something is painted on the screen, found in the training data."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.embed = PatchEmbedding(len(config.history) + 3, config.patch, config.bottleneck, d)
        self.level = LevelEmbedding(d)
        self.size = LevelEmbedding(d)
        self.noise = LevelEmbedding(d)
        self.action = nn.Sequential(nn.Linear(2 * ACTION_DIM + 4 + PACE_DIM, d), nn.SiLU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList(
            Block(d, config.heads, config.memory_heads if index in config.memory_layers else None)
            for index in range(config.depth)
        )
        self.norm = nn.RMSNorm(d, eps=1e-6)
        self.head = DetailHead(config)
        self.facts = zero_init(nn.Linear(d, 3 + EVENT_COUNT + 1 + 3))
        self.place = nn.Parameter(torch.zeros(d, config.size[0] // config.patch, config.size[1] // config.patch))
        self.register_buffer("overlay", torch.zeros(config.size))
        for shape in config.shapes:
            self.register_buffer(_overlay_name(shape), torch.zeros(shape))

    def screen(self, size: tuple[int, int]) -> Tensor:
        """The overlay of frames of that size [h, w]; for sizes that it was not trained on the usual one, stretched."""
        if size in self.config.shapes:
            return getattr(self, _overlay_name(size))
        return functional.interpolate(self.overlay[None, None], size)[0, 0]

    def overlays(self, usual: Tensor) -> dict[str, Tensor]:
        """Names of the buffers of other overlays, and the usual one [h, w] stretched for each."""
        stretched = functional.interpolate
        return {_overlay_name(shape): stretched(usual[None, None], shape)[0, 0] for shape in self.config.shapes}

    def learn_screen(self, overlays: Mapping[tuple[int, int], Tensor]) -> None:
        """Takes overlays [h, w] of frames of the usual size and of others; for those that lack, it is stretched."""
        self.overlay.copy_(overlays[self.config.size])
        for name, stretched in self.overlays(self.overlay).items():
            getattr(self, name).copy_(stretched)
        for shape in set(overlays) & set(self.config.shapes):
            getattr(self, _overlay_name(shape)).copy_(overlays[shape])

    def forward(
        self,
        noised: Tensor,
        level: Tensor,
        size: Tensor,
        context: Context,
        ages: Tensor,
        memory: list[Memory] | None = None,
    ) -> Prediction:
        """Predicts clean frames.

        noised [b, t, 3, h, w]; level, size [b, t]: its noise level and the step about to be taken; ages [b, t, m + t]
        as in `MemoryAttention`; memory: keys and values of m earlier frames for each memory layer.
        """
        b, t, _, height, width = noised.shape
        config, size_in_pixels, field = self.config, (height, width), self.config.field_of_view
        noised, before, key = noised.flatten(0, 1), context.past[:, :, 0].flatten(0, 1), context.key.flatten(0, 1)
        rest = context.rest.flatten(0, 1)
        pitch, turn, way = context.pitch.flatten(), context.turn.flatten(0, 1), context.way.flatten(0, 1)
        screen = self.screen(size_in_pixels)[None, None]
        overlay = screen.expand(b * t, -1, -1, -1)

        grid = geometry.rotation_grid(pitch, turn, size_in_pixels, field)
        seen = geometry.inside(grid).float()
        turned = geometry.warp(before, grid) * seen
        known, key_pitch, key_yaw, key_travel = way[:, 0], way[:, 1], way[:, 2], way[:, 3:]
        key_turn = torch.stack((pitch + turn[:, 0] - key_pitch, key_yaw + turn[:, 1]), dim=-1)
        key_grid = geometry.rotation_grid(key_pitch, key_turn, size_in_pixels, field)
        known = known[:, None, None, None]
        key_seen, key_turned = geometry.inside(key_grid).float(), geometry.warp(key, key_grid)
        key_seen = key_seen * known
        if config.screen_views:
            key_seen, key_turned = torch.maximum(key_seen, overlay), _under(overlay, key_turned, rest)
        key_turned = key_turned * key_seen

        stacked = torch.stack((noised, turned, key_turned), dim=1)
        x = self.embed(torch.cat((stacked, context.past.flatten(0, 1)), dim=1)).unflatten(0, (b, t))
        rows, columns = height // config.patch, width // config.patch
        x, fresh = self.trunk(x, (rows, columns), level, size, context, ages, memory)
        travel, events, pitch_after = self.read(x, context.pace)
        if not self.training:
            travel = _settled(travel, 1.0, STILL_METRES)
        pictures = torch.cat((noised, turned, before, key_turned), dim=1)
        after = pitch + turn[:, 0]
        if self.training:
            after = after + PITCH_DOUBT * torch.randn_like(after)
        heights = geometry.heights(after, size_in_pixels, field, config.cell)
        masks = torch.cat((seen, key_seen, overlay), dim=1)
        painted, logits, flow, depth = self.head(x.flatten(0, 1), pictures, masks, heights)
        metres = depth.clamp(*DEPTH_RANGE).expm1()
        moved = travel.flatten(0, 1)
        shift, _ = geometry.travel_shift(metres, pitch, turn, moved, size_in_pixels, field)
        if not self.training:
            flow = _settled(flow, flow.new_tensor((width / 2, height / 2)), STILL_PIXELS)
        flow = flow + shift
        source = grid + _enlarged(flow, size_in_pixels)
        # Where the earlier view is concerned the picture must not pull at the travel: the frame before measures it.
        key_moved = key_travel + geometry.carry(moved.detach(), key_yaw)
        key_shift, _ = geometry.travel_shift(metres, key_pitch, key_turn, key_moved, size_in_pixels, field)
        key_source = key_grid + _enlarged(key_shift, size_in_pixels)

        mixed = geometry.redraw(before, source)
        picked, covered = geometry.pick(torch.cat((before, overlay), dim=1), source).split((3, 1), dim=1)
        recalled, key_covered = geometry.redraw(key, key_source), geometry.pick(overlay, key_source)
        if self.training:  # straight through (Bengio et al., arXiv 1308.3432): picked values, the mixture's gradient
            picked = mixed + (picked - mixed).detach()
        lost = 1 - (1 - overlay) * (1 - covered) * geometry.inside(source)
        key_fair = known * (1 - overlay) * (1 - key_covered) * geometry.inside(key_source)
        if config.screen_views:
            plates = (1 - SCREEN_DOUBT / EXCLUDED) * _thick(screen)
            key_fair, recalled = torch.maximum(key_fair, plates), _under(overlay, recalled, rest)
        key_lost = 1 - key_fair
        fair = torch.zeros_like(lost)
        logits = logits if self.training else DECIDED * logits
        logits = logits - EXCLUDED * torch.cat((lost, lost, fair, fair, key_lost), dim=1)
        weights = logits.softmax(dim=1)
        if not self.training:
            weights = (weights - FAINT).clamp(min=0)
            weights = weights / weights.sum(dim=1, keepdim=True)
        candidates = (picked, mixed, before, painted, recalled)
        frame = sum(weights[:, index, None] * candidate for index, candidate in enumerate(candidates))
        choice = None
        if self.training:
            mixed_of = [candidate.detach().unflatten(0, (b, t)) for candidate in candidates]
            choice = Choice(mixed_of, logits.unflatten(0, (b, t)))
        return Prediction(
            frame=frame.unflatten(0, (b, t)),
            flow=flow.unflatten(0, (b, t)),
            depth=depth.unflatten(0, (b, t)),
            travel=travel,
            events=events,
            pitch=pitch_after,
            memory=fresh,
            choice=choice,
        )

    def trunk(
        self,
        x: Tensor,
        grid: tuple[int, int],
        level: Tensor,
        size: Tensor,
        context: Context,
        ages: Tensor,
        memory: list[Memory] | None,
    ) -> tuple[Tensor, list[Memory]]:
        """Runs tokens x [b, t, p, d] of frames of `grid` (rows, columns) tokens through the blocks.

        The rest is as in `forward`. Returns the normalised tokens [b, t, p, d] and what to remember of the frames.
        """
        place = self.place[None]
        if place.shape[-2:] != grid:
            place = functional.interpolate(place, grid, mode="bilinear", align_corners=False)
        x = x + place.flatten(2).transpose(1, 2)
        condition = functional.silu(
            self.level(level)
            + self.size(size)
            + self.noise(context.context_noise)
            + self.action(self._controls(context))
        )
        tables = rotary_tables(*grid, self.config.head_width, x.device)
        fresh: list[Memory] = []
        for block in self.blocks:
            held = memory[len(fresh)] if memory is not None and block.memory is not None else None
            x, kept = block(x, condition, tables, ages, held)
            if kept is not None:
                fresh.append(kept)
        return self.norm(x), fresh

    def read(self, x: Tensor, pace: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Travel [b, t, 3], events [b, t, e] and pitch [b, t] from tokens [b, t, p, d] and pace [b, t, 4].

        Of each part of the pace the network says how much of it lasts: nearly all in the air, half on the ground.
        """
        travel, events, pitch, lasting = self.facts(x.mean(dim=2)).float().split((3, EVENT_COUNT, 1, 3), dim=-1)
        return travel + lasting * pace[..., 1:], events, pitch.squeeze(-1)

    @staticmethod
    def _controls(context: Context) -> Tensor:
        """The action with its camera clipped to ±1, the camera's real motion at two scales, the pace, and the action
        of the tick before [b, t, 58].

        The pitch is left out: the picture must tell it, so that a dream can start from a picture alone. Only the head,
        which says nothing about it, is told where the horizon is: what is new is sky above it and ground below, however
        little is left of the picture.
        """
        turn = context.turn
        known, pace = context.pace.split((1, 3), dim=-1)
        motion = (torch.tanh(turn), torch.tanh(turn / CAMERA_SCALE), known, pace.clamp(-1, 1) * PACE_SCALE)
        return torch.cat((_clipped(context.action), *motion, _clipped(context.last_action)), dim=-1)


def _clipped(action: Tensor) -> Tensor:
    """Actions [..., 25] with their camera within ±1."""
    first = ACTION_INDEX["cameraX"]
    camera = action[..., first : first + 2].clamp(-1, 1)
    return torch.cat((action[..., :first], camera, action[..., first + 2 :]), dim=-1)


def _overlay_name(size: tuple[int, int]) -> str:
    return f"overlay_{size[0]}x{size[1]}"


def _thick(overlay: Tensor) -> Tensor:
    """What of an overlay [b, 1, h, w] is THICK pixels wide and high (an opening, Serra 1982): not the crosshair, whose
    colour depends on what is behind it."""
    edge = THICK // 2
    core = -functional.max_pool2d(-overlay, THICK, 1, edge)
    return functional.max_pool2d(core, THICK, 1, edge)


def _under(overlay: Tensor, world: Tensor, screen: Tensor) -> Tensor:
    """Pictures [b, 3, h, w] of the world, with those of the screen where the overlay [b, 1, h, w] is."""
    return world * (1 - overlay) + screen * overlay


def _settled(motion: Tensor, scale: Tensor | float, still: float) -> Tensor:
    """`motion` [..., n] with what is shorter than `still`, once multiplied by `scale`, taken as none."""
    length = (motion * scale).square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
    return motion * (length / still - 1).clamp(0, 1)


def _enlarged(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow [b, h', w', 2] at the size [b, h, w, 2] of frames."""
    return functional.interpolate(flow.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False).permute(
        0, 2, 3, 1
    )


def causal_ages(b: int, t: int, memory: int, device: torch.device) -> Tensor:
    """Ages [b, t, t] among the frames of a clip: each sees itself and at most `memory` frames before it."""
    index = torch.arange(t, device=device)
    ages = (index[:, None] - index[None, :]).float()
    return torch.where(ages > memory, -1.0, ages).expand(b, t, t)
