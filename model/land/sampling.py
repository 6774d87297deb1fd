"""Samplers of masked discrete diffusion: short pure functions on numpy arrays, the same for the same generator.

Tokens are uint8 [c, ...]: c channels over the same places, UNKNOWN where a sampler is to fill them. `predict` gives,
for tokens, the logits of each channel, float32 [..., size of the channel]. Known tokens are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from reverie.model.cells import UNKNOWN

Predict = Callable[[np.ndarray], Sequence[np.ndarray]]


@lru_cache(maxsize=8)
def _halton_order(size: int) -> np.ndarray:
    """float64 [size, size]: when the Halton sequence of bases 2 and 3 first visits each square, as a rank in 0..1."""
    ranks = np.full((size, size), -1.0)
    found, index = 0, 0
    while found < size * size:
        index += 1
        place = []
        for base in (2, 3):
            part, value, rest = 1.0, 0.0, index
            while rest:
                part /= base
                value += part * (rest % base)
                rest //= base
            place.append(min(int(value * size), size - 1))
        if ranks[place[0], place[1]] < 0:
            ranks[place[0], place[1]] = found
            found += 1
    ranks /= size * size
    ranks.setflags(write=False)
    return ranks


def halton_ranks(size: int, rng: np.random.Generator) -> np.ndarray:
    """float64 [size, size] in 0..1: an order in which near places lie far apart, shifted at random.

    Besnier et al. 2025, "Halton Scheduler for Masked Generative Image Transformer" (arXiv 2503.17076).
    """
    shift = rng.integers(0, size, 2)
    return np.roll(_halton_order(size), tuple(shift), axis=(0, 1))


def passes_of(ranks: np.ndarray, unknown: np.ndarray, passes: int, delay: Sequence[int] = (0,)) -> np.ndarray:
    """int [c, ...]: the pass in which each unknown token is sampled, in the order of `ranks` [...]; -1 for known ones.

    The unknown places are shared out evenly; channel c follows `delay[c]` passes behind the place's first.
    """
    places = unknown.any(axis=0)
    order = np.argsort(ranks[places], kind="stable")
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order)) * passes // max(len(order), 1)
    first = np.full(places.shape, -1, np.int64)
    first[places] = turn
    later = np.asarray(delay).reshape(-1, *(1,) * places.ndim)
    return np.where(unknown, first + later, -1)


def _draw(
    logits: np.ndarray, temperature: float, min_p: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [n] and their log-probabilities from logits [n, size] (Gumbel-max).

    Tokens of less than `min_p` times the likeliest one's probability are left out: what a network has not learned to
    rule out altogether makes spikes in land (min-p sampling, Nguyen et al. 2024, arXiv 2407.01082).
    """
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    scaled = np.where(logits < np.log(max(min_p, 1e-30)), -np.inf, logits / max(temperature, 1e-6))
    log_p = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    chosen = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=-1)
    return chosen, np.take_along_axis(log_p, chosen[:, None], -1)[:, 0]


def sample_in_order(
    predict: Predict,
    tokens: np.ndarray,
    turns: np.ndarray,
    temperature: float,
    min_p: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Fills tokens [c, ...] pass by pass, those of pass k given all of the passes before.

    With random turns this is ancestral sampling of MD4 (Shi et al. 2024, arXiv 2406.04329) at a fixed number of steps.
    """
    tokens = tokens.copy()
    for turn in np.unique(turns[turns >= 0]):
        for channel, logits in enumerate(predict(tokens)):
            where = turns[channel] == turn
            if where.any():
                tokens[channel][where] = _draw(logits[where], temperature, min_p, rng)[0]
    return tokens


def sample_by_confidence(
    predict: Predict,
    tokens: np.ndarray,
    passes: int,
    temperature: float,
    min_p: float,
    choice_temperature: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Fills the UNKNOWN tokens [c, ...], in each pass those that are surest, on a cosine schedule.

    MaskGIT (Chang et al. 2022, arXiv 2202.04200); `choice_temperature` scales the Gumbel noise on the sureness, which
    falls to zero with the passes.
    """
    tokens = tokens.copy()
    total = int((tokens == UNKNOWN).sum())
    for index in range(passes):
        unknown = tokens == UNKNOWN
        left = int(np.floor(total * np.cos(np.pi / 2 * (index + 1) / passes))) if index + 1 < passes else 0
        count = int(unknown.sum()) - left
        if count <= 0:
            continue
        drawn, sure = np.zeros(tokens.shape, np.uint8), np.full(tokens.shape, -np.inf)
        for channel, logits in enumerate(predict(tokens)):
            where = unknown[channel]
            drawn[channel][where], sure[channel][where] = _draw(logits[where], temperature, min_p, rng)
        noise = choice_temperature * (1 - (index + 1) / passes) * rng.gumbel(size=total)[: int(unknown.sum())]
        sure[unknown] += noise
        chosen = np.zeros(tokens.size, bool)
        chosen[np.argsort(-sure.ravel(), kind="stable")[:count]] = True
        tokens = np.where(chosen.reshape(tokens.shape), drawn, tokens)
    return tokens


def bottom_up_ranks(over_ground: np.ndarray, rng: np.random.Generator, jitter: float) -> np.ndarray:
    """Ranks of cells [x, y, z] from their heights over the ground: from below, with noise of `jitter` metres.

    What carries is settled before what stands on it, so that nothing floats; everything below the ground comes at once.
    """
    return np.maximum(over_ground, 0) + jitter * rng.random(over_ground.shape)
