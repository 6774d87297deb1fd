"""Numbers for pictures: pure functions of arrays. Frames are uint8 [..., h, w, 3]; leading axes are kept.

A `region`, bool [..., h, w], limits a figure to some pixels; where it holds fewer than MIN_PIXELS of a frame, the
figure is NaN, and the frame does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PEAK = 255.0
PSNR_CAP = 60.0
"""dB. Rounding to eight bits alone is an error of 58.9 dB: beyond that nothing is to be won."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MIN_PIXELS = 24
RESAMPLES = 1000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A statistic of all runs, and its 95 % interval."""

    value: float
    low: float
    high: float


def psnr(frames: np.ndarray, true: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, float64 [...], at most PSNR_CAP."""
    error = np.square(frames.astype(np.float32) - true.astype(np.float32)).mean(axis=-1, dtype=np.float64)
    mean = _mean_over(error, region)
    lowest = PEAK**2 / 10 ** (PSNR_CAP / 10)
    return 10 * np.log10(PEAK**2 / np.maximum(mean, lowest))


def mean_change(after: np.ndarray, before: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Mean absolute difference per channel, of 255: float64 [...]."""
    difference = np.abs(after.astype(np.int16) - before.astype(np.int16)).mean(axis=-1, dtype=np.float64)
    return _mean_over(difference, region)


def laplacian_energy(frames: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Mean square of the brightness's Laplacian (four neighbours), float64 [...]: how much fine detail there is.

    Only pixels count whose neighbours are in the region too, so that the edge of what is not judged is no detail.
    """
    x = brightness(frames)
    energy = np.square(_around(x) - 4 * x[..., 1:-1, 1:-1])
    if region is None:
        return _mean_over(energy, None)
    whole = region[..., 1:-1, 1:-1] & (_around(region.astype(np.int64)) == 4)
    return _mean_over(energy, whole)


def _around(x: np.ndarray) -> np.ndarray:
    """[..., h - 2, w - 2]: the sum of the four neighbours."""
    return x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]


def contrast(frames: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation of the brightness over a frame's pixels, float64 [...]."""
    x = brightness(frames)
    mean = _mean_over(x, region)
    return np.sqrt(_mean_over(np.square(x - mean[..., None, None]), region))


def brightness(frames: np.ndarray) -> np.ndarray:
    """float64 [..., h, w]."""
    return (frames.astype(np.float32) @ LUMA).astype(np.float64)


def _mean_over(values: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    if region is None:
        return values.mean(axis=(-2, -1))
    region = np.broadcast_to(region, values.shape)
    count = region.sum(axis=(-2, -1))
    mean = (values * region).sum(axis=(-2, -1)) / np.maximum(count, 1)
    return np.where(count >= MIN_PIXELS, mean, np.nan)


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean, confidence: float = CONFIDENCE
) -> Interval:
    """A statistic of `values` [n, ...] and its percentile interval when runs are drawn anew (Efron 1979).

    Rows that hold a NaN do not count; without any row the figure is NaN. The draws are the same in every call.
    """
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values).reshape(len(values), -1).any(axis=1)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    rows = np.random.default_rng(len(values)).integers(len(values), size=(RESAMPLES, len(values)))
    if statistic is np.mean and values.ndim == 1:
        drawn = values[rows].mean(axis=1)
    else:
        drawn = np.array([statistic(values[row]) for row in rows])
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(float(statistic(values)), float(low), float(high))


# The Fréchet distance of features, after a fixed random projection.

PROJECTED = 48
"""Dimensions; covariances of so many are well known from a thousand frames, those of 1,280 are not."""
PROJECTION_SEED = 20_201
FLAT = 1e-3


def projection(dimensions: int, kept: int = PROJECTED) -> np.ndarray:
    """float64 [dimensions, kept]: orthonormal directions, the same in every call."""
    rng = np.random.default_rng(PROJECTION_SEED)
    return np.linalg.qr(rng.standard_normal((dimensions, kept)))[0]


def frechet(features: np.ndarray, true: np.ndarray) -> float:
    """The squared Fréchet distance of two sets of features [n, d], taken as Gaussians (Heusel et al. 2017)."""
    mean, other = features.mean(0), true.mean(0)
    spread, wanted = np.cov(features, rowvar=False), np.cov(true, rowvar=False)
    values, vectors = np.linalg.eigh(wanted)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ spread @ root), 0.0)).sum()
    return float(max(np.square(mean - other).sum() + np.trace(spread) + np.trace(wanted) - 2 * overlap, 0.0))


def frechet_ratio(features: np.ndarray, true: np.ndarray, elsewhere: np.ndarray, resamples: int = 100) -> Interval:
    """The distance of `features` [runs, n, d] to the true ones of the same runs, over that of true ones of other seeds
    [runs, n, d] to them: 0 is perfect, 1 as far as another world. The interval is over runs.
    """
    d = true.shape[-1]
    scale = elsewhere.reshape(-1, d).std(0) + FLAT
    other = (elsewhere / scale).reshape(-1, d)

    def ratio(rows: np.ndarray) -> float:
        wanted = (true[rows] / scale).reshape(-1, d)
        alone = frechet(other, wanted)
        return frechet((features[rows] / scale).reshape(-1, d), wanted) / max(alone, FLAT)

    value = ratio(np.arange(len(true)))
    rng = np.random.default_rng(len(true))
    drawn = [ratio(rng.integers(len(true), size=len(true))) for _ in range(resamples)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(low), float(high))
