"""Numbers for pictures: pure functions of arrays. Frames are uint8 [..., h, w, 3]; leading axes are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PEAK = 255.0
PSNR_CAP = 60.0
"""dB. The error of rounding to eight bits is 1/12, 58.9 dB: beyond that nothing is to be won. The cap keeps moments at
which nothing moves, and copies are exact, from outweighing all others in a mean."""
VISIBLE = 8
"""Of 255: what an edit changes by less, such as a trace of light, is not looked at."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_STABLE = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)
RESAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A statistic of all clips, and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float


def psnr(seen: np.ndarray, true: np.ndarray, region: np.ndarray | None = None) -> np.ndarray:
    """Peak signal-to-noise ratio of uint8 frames in dB, float64 [...], at most `PSNR_CAP`.

    10 log10(255² / mean square error over pixels and channels). `region`, bool [..., h, w], limits it to some pixels;
    where that is empty, nothing is wrong and the result is the cap.
    """
    error = np.square(seen.astype(np.float32) - true.astype(np.float32)).mean(axis=-1, dtype=np.float64)
    if region is None:
        mean = error.mean(axis=(-2, -1))
    else:
        mean = (error * region).sum(axis=(-2, -1)) / np.maximum(region.sum(axis=(-2, -1)), 1)
    lowest = PEAK**2 / 10 ** (PSNR_CAP / 10)
    return 10 * np.log10(PEAK**2 / np.maximum(mean, lowest))


def ssim(seen: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Structural similarity of uint8 frames, float64 [...], 1 for equal ones.

    Wang et al., Image quality assessment: from error visibility to structural similarity, 2004: brightness only, a
    Gaussian window of 11 pixels and sigma 1.5, where it fits into the frame whole.
    """
    x, y = _brightness(seen), _brightness(true)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = SSIM_STABLE
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return (top / bottom).mean(axis=(-2, -1))


def mean_change(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Mean absolute difference of uint8 frames per pixel and channel, of 255: float64 [...]."""
    difference = np.abs(after.astype(np.int16) - before.astype(np.int16))
    return difference.mean(axis=(-3, -2, -1), dtype=np.float64)


def edit_gain(seen: np.ndarray, edited: np.ndarray, unedited: np.ndarray) -> np.ndarray:
    """How much nearer, in dB, `seen` is to a world with an edit than to the same world without it: float64 [...].

    Only pixels count that the edit changed. Positive: the edit is still there.
    """
    region = changed_region(edited, unedited)
    return psnr(seen, edited, region) - psnr(seen, unedited, region)


def changed_region(edited: np.ndarray, unedited: np.ndarray) -> np.ndarray:
    """bool [..., h, w]: pixels that differ by more than `VISIBLE` in a channel."""
    return np.any(np.abs(edited.astype(np.int16) - unedited.astype(np.int16)) > VISIBLE, axis=-1)


def laplacian_energy(frames: np.ndarray) -> np.ndarray:
    """Mean square of the brightness's Laplacian (four neighbours), float64 [...]: how much fine detail there is."""
    x = _brightness(frames)
    inner = x[..., 1:-1, 1:-1]
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return np.square(around - 4 * inner).mean(axis=(-2, -1))


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The mean of `values` [n], or another `statistic`, and its percentile interval when clips are drawn anew.

    Efron, Bootstrap methods, 1979. `statistic` takes [..., n, ...] resampled rows as [resamples, n, ...] and reduces
    them to [resamples]. The draws are the same in every call.
    """
    values = np.asarray(values, np.float64)
    reduce = statistic or (lambda drawn: drawn.mean(axis=1))
    rows = np.random.default_rng(len(values)).integers(len(values), size=(RESAMPLES, len(values)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(reduce(values[rows]), (tail, 1 - tail))
    return Interval(float(reduce(values[None])[0]), float(low), float(high))


def ratio_of_sums(drawn: np.ndarray) -> np.ndarray:
    """[resamples, n, 2] -> [resamples]: first column over second, a statistic for `bootstrap`."""
    above, below = drawn[..., 0].sum(axis=1), drawn[..., 1].sum(axis=1)
    return above / np.maximum(below, np.finfo(np.float64).tiny)


def _brightness(frames: np.ndarray) -> np.ndarray:
    return (frames.astype(np.float32) @ LUMA).astype(np.float64)


def _blurred(x: np.ndarray) -> np.ndarray:
    """[..., h, w] under the Gaussian window, where it fits whole."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    height, width = x.shape[-2] - SSIM_WINDOW + 1, x.shape[-1] - SSIM_WINDOW + 1
    x = sum(weight * x[..., k : k + height, :] for k, weight in enumerate(window))
    return sum(weight * x[..., k : k + width] for k, weight in enumerate(window))
