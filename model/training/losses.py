"""What the network is asked to get right, as one number for each kind of thing it says."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from reverie.model import geometry
from reverie.model.config import ModelConfig
from reverie.model.training.data import Batch
from reverie.model.world_model import MOVED, Choice, Prediction

SKY_METRES = 64.0
"""Depth that stands for the sky."""
WEIGHTS: dict[str, float] = {
    "frame": 1.0, "nepers": 0.08, "haar": 1.0, "texture": 8.0, "choice": 1.0,
    "flow": 0.03, "depth": 0.2, "travel": 2.0, "events": 0.05, "pitch": 0.1,
    "critic": 1.0, "screen": 2.0, "long_travel": 2.0, "told_apart": 0.0,
}  # fmt: skip
CHANGED_WEIGHT = 2.0
"""How much the mean error counts of those pixels that are not what they were a tick ago, so that copying is no way
out: a slot that was chosen or a block that was placed is little of the picture, and all that happened."""
FEWEST_CHANGED = 0.02
"""Share of the picture that changed pixels are taken to be at least."""
CLOSE, TAIL = 0.02, 2.0
"""How a candidate explains a pixel whose mean absolute error, of frames in -1..1, it has: 1 / (1 + error / CLOSE) to
the power of TAIL. So an exact copy is far better than one that is nearly right, however bad others are."""
REGAINED = 1.25
"""How much more detail than the frame before a frame is asked for where the truth has it."""
LOWEST_ERROR = 1e-5
"""Mean squared error, of frames in 0..1, below which a frame is as good as right: 50 dB."""
TRAVEL_KNEE = 0.01
"""Metres below which an error of travel counts by its square: a hand's breadth is much to someone who stands still."""
LARGEST_FLOW = 24.0
"""Pixels; flows beyond it belong to surfaces at the nose and are left out."""


def haar(x: Tensor) -> Tensor:
    """One level of the Haar transform: [b, c, h, w] -> [b, 4c, h/2, w/2], averages first."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return torch.cat((a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d), dim=1) / 2


def haar_distance(error: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute detail coefficients of an error [b, 3, h, w] over the finest `levels`: [b]."""
    total = error.new_zeros(error.shape[0])
    for _ in range(levels):
        coefficients = haar(error)
        error = coefficients[:, : error.shape[1]] / 2
        total = total + coefficients[:, error.shape[1] :].abs().mean((1, 2, 3))
    return total


def texture_distance(predicted: Tensor, target: Tensor, known: Tensor, levels: int = 2, pool: int = 4) -> Tensor:
    """How much the amount of detail differs, place by place, whatever that detail is: [b] for frames [b, 3, h, w].

    Mean absolute Haar coefficients over neighbourhoods of `pool` of them, so that texture that lies a pixel off costs
    nothing here and blur costs what it blurs: statistics of textures as in Portilla and Simoncelli (2000), local.
    Only so much detail is asked for as `known`, the frame before brought to its new place, had there, and REGAINED of
    it: whoever is asked for the detail of what was never seen paints lattices.
    """
    total = predicted.new_zeros(predicted.shape[0])
    for _ in range(levels):
        bands = haar(predicted), haar(target), haar(known)
        predicted, target, known = (band[:, :3] / 2 for band in bands)
        amount, wanted, had = (functional.avg_pool2d(band[:, 3:].abs(), pool) for band in bands)
        total = total + (amount - torch.minimum(wanted, REGAINED * had)).abs().mean((1, 2, 3))
    return total


def _with_changed(values: Tensor, target: Tensor, before: Tensor) -> Tensor:
    """Means [b, t] of `values` [b, t, h, w] over all pixels, and over those that are not what they were before."""
    changed = ((target - before).abs().amax(2) > 0.05).to(values.dtype)
    share = changed.mean((2, 3)).clamp(min=FEWEST_CHANGED)
    return values.mean((2, 3)) + CHANGED_WEIGHT * (values * changed).mean((2, 3)) / share


def frame_losses(predicted: Tensor, target: Tensor, before: Tensor, known: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Absolute plus squared error of all and of changed pixels, the logarithm of the squared error, the Haar distance
    and the texture distance.

    The logarithm is what a mean of PSNRs is made of: a tenth less error counts the same in a frame where nothing moves,
    which must stay exactly as it is, as in one that is all new. Frames [b, t, 3, h, w], `before` and `known` as in
    `reverie.model.training.rollout.Conditions`; `weight` [b, t] multiplies each frame's share.
    """
    error = predicted - target
    wrong = (error.abs() + error.square()).mean(2)
    pixels = _with_changed(wrong, target, before)
    detail = haar_distance(error.flatten(0, 1)).unflatten(0, error.shape[:2])
    texture = texture_distance(predicted.flatten(0, 1), target.flatten(0, 1), known.flatten(0, 1))
    nepers = (error.square().mean((2, 3, 4)) / 4 + LOWEST_ERROR).log() / 2
    parts = {"frame": pixels, "nepers": nepers, "haar": detail, "texture": texture.unflatten(0, error.shape[:2])}
    total = weight.sum().clamp(min=1e-6)
    return {name: (weight * part).sum() / total for name, part in parts.items()}


def choice_loss(choice: Choice, target: Tensor, before: Tensor, weight: Tensor) -> Tensor:
    """How badly what was chosen explains each pixel: the negative logarithm of a mixture's likelihood, less that of the
    best choice. Changed pixels count as in `frame_losses`.

    In the mixture itself a candidate that counts for nearly nothing has nearly no gradient, however right it is, and is
    never found; here the rarer it is chosen the stronger is its pull (as in mixture density networks, Bishop 1994). The
    two ways to move the frame before count as one: asked which is nearer to the truth they would always be mixed, and
    what is mixed tick after tick is fog.
    """
    error = torch.stack([(picture - target).abs().mean(2) for picture in choice.pictures], dim=2)
    closeness, shares = -TAIL * (error / CLOSE).log1p(), choice.logits.log_softmax(2)
    closeness = torch.cat((closeness[:, :, :MOVED].amax(2, keepdim=True), closeness[:, :, MOVED:]), dim=2)
    shares = torch.cat((shares[:, :, :MOVED].logsumexp(2, keepdim=True), shares[:, :, MOVED:]), dim=2)
    regret = closeness.amax(2) - (shares + closeness).logsumexp(2)
    return (weight * _with_changed(regret, target, before)).sum() / weight.sum().clamp(min=1e-6)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`; zero where nothing is."""
    mask = mask.to(values.dtype)
    return (torch.nan_to_num(values) * mask).sum() / mask.sum().clamp(min=1.0)


def fact_losses(out: Prediction, batch: Batch, config: ModelConfig) -> dict[str, Tensor]:
    """Errors of flow, depth, travel, events and pitch, each over the rows for which the truth is known."""
    height, width = batch.past.shape[2:4]
    expected = batch.depth[:, 1:]
    usable = ~batch.edited
    known = ~expected.isnan() & usable[:, :, None, None]
    log_depth = torch.log1p(torch.nan_to_num(expected, nan=0.0, posinf=SKY_METRES).clamp(max=SKY_METRES))
    losses = {"depth": masked_mean((out.depth - log_depth).abs(), known)}

    located = ~batch.travel.isnan().any(-1) & usable
    losses["travel"] = masked_mean(
        functional.smooth_l1_loss(out.travel, torch.nan_to_num(batch.travel), reduction="none", beta=TRAVEL_KNEE),
        located[..., None].expand_as(out.travel),
    )
    flow, points = geometry.travel_shift(
        torch.nan_to_num(expected, nan=SKY_METRES, posinf=SKY_METRES).flatten(0, 1),
        batch.pitch.flatten(),
        batch.turn.flatten(0, 1),
        torch.nan_to_num(batch.travel).flatten(0, 1),
        (height, width),
        config.field_of_view,
    )
    before = torch.nan_to_num(batch.depth[:, :-1], nan=SKY_METRES, posinf=SKY_METRES).flatten(0, 1)
    visible = geometry.visible_before(points, before, (height, width), config.field_of_view)
    in_pixels = flow.new_tensor((width / 2, height / 2))
    small = ((flow * in_pixels).abs() < LARGEST_FLOW).all(-1)
    trusted = visible & small & known.flatten(0, 1) & located.flatten()[:, None, None]
    error = ((out.flow.flatten(0, 1) - flow) * in_pixels).abs().sum(-1)
    losses["flow"] = masked_mean(error, trusted)

    losses["events"] = functional.binary_cross_entropy_with_logits(out.events, batch.events.clamp(max=1))
    after = (batch.pitch + batch.turn[..., 0]) / 90
    losses["pitch"] = masked_mean((out.pitch - after).abs(), located)
    return losses


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is minimised."""
    return torch.stack([WEIGHTS[name] * value for name, value in losses.items()]).sum()
