"""Pictures and masks for edits: fit anything a user may hand over to a frame, paint, blend and tint.

Pure functions of numpy arrays. Frames are uint8 [h, w, 3] RGB, masks bool [h, w], sizes (height, width),
positions (x, y) in pixels with pixel centres at +0.5. Pillow is imported only when something is read or
resized.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.simulator.errors import EditError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 1 << 26
"""Largest picture that is opened, in pixels (a decompression bomb is refused before it is unpacked)."""
MAX_ASPECT = 1 << 15
"""Largest width or height of a picture, in pixels."""
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is read from files; formats that run other programs (EPS) are not among them."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
NIGHT_TINT = (0.14, 0.18, 0.34)
DUSK_TINT = (0.85, 0.55, 0.42)
SMALLEST_BRUSH = math.sqrt(0.5)
"""A brush of this radius, in pixels, always covers the pixel it is in."""

Picture = Any
"""A path, a PIL image, or an array [h, w], [h, w, 1] grey, [h, w, 2] grey and alpha, [h, w, 3] or [h, w,
4].
"""


def fit_image(image: Picture, size: tuple[int, int], *, crop: bool = False) -> np.ndarray:
    """Any picture as a frame: uint8 [h, w, 3] of `size`.

    Bytes are taken as they are, 16-bit values by their high byte, floats as 0 to 1; transparent parts become
    black. Shrinks by area averaging, enlarges bilinearly. The picture is stretched to the size, or with
    `crop` scaled evenly and cut to its middle. Raises EditError for what cannot be read or is too large.
    """
    colours, alpha = _channels(image)
    if alpha is not None:
        colours = _mix(np.zeros_like(colours), colours, alpha)
    return _resize(colours, size, crop)


def fit_edit(image: Picture, mask: Picture | None, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """An edit's image and mask in the size of `frame` (uint8 [h, w, 3]): (uint8 [h, w, 3], bool [h, w] or
    None).

    Where the picture is transparent, the frame shows through; without a mask, the mask is then the parts that
    are not fully transparent. Raises EditError.
    """
    size = frame.shape[:2]
    colours, alpha = _channels(image)
    fitted = _resize(colours, size, crop=False)
    fitted_mask = None if mask is None else fit_mask(mask, size)
    if alpha is not None:
        fitted_alpha = _resize(alpha, size, crop=False)
        fitted = _mix(frame, fitted, fitted_alpha)
        visible = fitted_alpha > 0
        fitted_mask = visible if fitted_mask is None else fitted_mask & visible
    return fitted, fitted_mask


def fit_mask(mask: Picture, size: tuple[int, int]) -> np.ndarray:
    """Any mask as bool [h, w] of `size`, by its nearest pixels.

    True, a float of at least 0.5, a byte of at least 128, or a one among zeros and ones is inside. A
    picture's mask is its brightness, or its alpha where it has one. Raises EditError.
    """
    if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype.kind in "iu" and mask.size and mask.max() <= 1:
        mask = mask > 0
    colours, alpha = _channels(mask)
    level = colours.astype(np.float32) @ LUMA if alpha is None else alpha
    inside = level >= 127.5
    height, width = size
    rows = (np.arange(height) * inside.shape[0]) // height
    columns = (np.arange(width) * inside.shape[1]) // width
    return inside[rows[:, None], columns[None, :]]


def composite(frame: np.ndarray, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """`image` where `mask` (bool [h, w]; None: everywhere) is set, `frame` elsewhere: uint8 [h, w, 3]."""
    _same_shape(frame, image)
    return image.copy() if mask is None else np.where(mask[..., None], image, frame)


def blend(frame: np.ndarray, image: np.ndarray, amount: float, mask: np.ndarray | None = None) -> np.ndarray:
    """`frame` mixed with `amount` (0 to 1) of `image` where `mask` is set: uint8 [h, w, 3]."""
    _same_shape(frame, image)
    if not 0 <= amount <= 1:
        raise EditError(f"edit: the amount of a blend is from 0 to 1, not {amount!r}")
    weight = np.full(frame.shape[:2], round(amount * 255), np.uint8)
    return _mix(frame, image, weight if mask is None else weight * mask)


@dataclass(frozen=True, slots=True)
class Stroke:
    """A brush drawn along `points` ((x, y) in pixels), `radius` pixels thick to each side, in an RGB
    `colour`.
    """

    points: tuple[tuple[float, float], ...]
    radius: float
    colour: tuple[int, int, int]


def paint(frame: np.ndarray, strokes: Iterable[Stroke]) -> tuple[np.ndarray, np.ndarray]:
    """Strokes painted on a frame, without soft edges: the image, and the mask of what was painted. Raises
    EditError.
    """
    image, painted = frame.copy(), np.zeros(frame.shape[:2], bool)
    for stroke in strokes:
        covered = _covered(stroke, painted.shape)
        image[covered] = _colour(stroke.colour)
        painted |= covered
    return image, painted


def erase(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`frame` with the part under `mask` filled inwards from its surroundings, each ring the mean of its
    known neighbours.
    """
    known = ~mask
    image = frame.astype(np.float32)
    if not known.any():
        return frame.copy()
    while not known.all():
        weight = _neighbour_sum(known.astype(np.float32)[..., None])
        total = _neighbour_sum(image * known[..., None])
        ring = ~known & (weight[..., 0] > 0)
        image[ring] = total[ring] / weight[ring]
        known |= ring
    return np.rint(image).astype(np.uint8)


def tint(frame: np.ndarray, colour: tuple[float, float, float], greyness: float = 0.0) -> np.ndarray:
    """`frame` made greyer by `greyness` (0 to 1), then multiplied by `colour` (one factor for each
    channel).
    """
    values = frame.astype(np.float32)
    values += greyness * ((values @ LUMA)[..., None] - values)
    return np.clip(np.rint(values * np.asarray(colour, np.float32)), 0, 255).astype(np.uint8)


def night(frame: np.ndarray) -> np.ndarray:
    """The frame by moonlight."""
    return tint(frame, NIGHT_TINT, greyness=0.5)


def dusk(frame: np.ndarray) -> np.ndarray:
    """The frame by the last sunlight."""
    return tint(frame, DUSK_TINT, greyness=0.2)


def _channels(image: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """Any picture as uint8 colours [h, w, 3] and alpha [h, w], the latter None when it is opaque
    throughout.
    """
    if not isinstance(image, np.ndarray):
        image = _from_picture(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not 1 <= image.shape[2] <= 4:
        raise EditError(f"edit: a picture is [h, w] or [h, w, 1 to 4], not an array of shape {list(image.shape)}")
    height, width, depth = image.shape
    _check_size(height, width)
    values = _bytes(image)
    has_alpha = depth in (2, 4)
    colours = values[..., : depth - has_alpha]
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    alpha = values[..., -1] if has_alpha else None
    return colours, None if alpha is None or (alpha == 255).all() else alpha


def _bytes(values: np.ndarray) -> np.ndarray:
    """Samples of any type as uint8."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values * np.uint8(255)
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    if kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):  # also refuses NaN
            raise EditError("edit: a picture of floats must stay within 0 to 1")
        return np.rint(values * 255).astype(np.uint8)
    if kind in "iu" and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    raise EditError(f"edit: a picture's values must be from 0 to 255, not {values.dtype} beyond that")


def _from_picture(picture: Any) -> np.ndarray:
    """The pixels of a PIL image, or of the file at a path."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(picture, (str, os.PathLike)):
        path = Path(picture)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about damaged metadata, and sizes that are refused below
                with Image.open(path, formats=PICTURE_FORMATS) as opened:
                    _check_size(opened.height, opened.width)
                    pixels = _pixels(ImageOps.exif_transpose(opened))
                    return _bytes(pixels)
        except EditError as error:
            raise EditError(f"{path}: {str(error).removeprefix('edit: ')}") from error
        except FileNotFoundError as error:
            raise EditError(f"{path}: no such file") from error
        except UnidentifiedImageError as error:
            why = "it is empty" if not path.stat().st_size else f"it is none of {', '.join(PICTURE_FORMATS)}"
            raise EditError(f"{path}: cannot be read as a picture ({why})") from error
        except OSError as error:
            raise EditError(f"{path}: cannot be read as a picture ({error.strerror or _one_line(error)})") from error
        except Exception as error:  # decoders of damaged files raise anything
            raise EditError(f"{path}: cannot be read as a picture ({_one_line(error)})") from error
    if isinstance(picture, Image.Image):
        _check_size(picture.height, picture.width)
        return _pixels(picture)
    raise EditError(f"edit: a picture is an array, a PIL image or a path, not {type(picture).__name__}")


def _pixels(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode as an array that `_channels` takes."""
    if image.mode.startswith("I"):
        return np.clip(np.asarray(image), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    has_alpha = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")
    return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))


def _resize(values: np.ndarray, size: tuple[int, int], crop: bool) -> np.ndarray:
    """uint8 [h, w] or [h, w, 3] in another size."""
    height, width = size
    h, w = values.shape[:2]
    if (h, w) == (height, width):
        return np.array(values)
    from PIL import Image

    box = (0.0, 0.0, float(w), float(h))
    if crop:
        kept_w, kept_h = min(w, h * width / height), min(h, w * height / width)
        box = ((w - kept_w) / 2, (h - kept_h) / 2, (w + kept_w) / 2, (h + kept_h) / 2)
    shrinks = box[2] - box[0] >= width and box[3] - box[1] >= height
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(np.ascontiguousarray(values)).resize((width, height), method, box=box))


def _mix(below: np.ndarray, above: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 `above` over `below` with `alpha` (uint8 [h, w])."""
    weight = alpha[..., None].astype(np.float32) / 255
    return np.rint(below + weight * (above.astype(np.float32) - below)).astype(np.uint8)


def _covered(stroke: Stroke, size: tuple[int, ...]) -> np.ndarray:
    """bool [h, w]: pixels whose centres are within the radius of the stroke's line."""
    points = np.asarray(stroke.points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise EditError("edit: a stroke needs at least one point, each a finite (x, y)")
    if not (math.isfinite(stroke.radius) and stroke.radius > 0):
        raise EditError(f"edit: a brush's radius must be above 0, not {stroke.radius!r}")
    radius = max(stroke.radius, SMALLEST_BRUSH)
    covered = np.zeros(size, bool)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    for (x0, y0), (x1, y1) in zip(points, points[1:] if len(points) > 1 else points):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / (length or 1.0), 0, 1)
        covered |= (x - x0 - along * (x1 - x0)) ** 2 + (y - y0 - along * (y1 - y0)) ** 2 <= radius**2
    return covered


def _colour(colour: Sequence[int]) -> np.ndarray:
    values = np.asarray(colour)
    if values.shape != (3,) or values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise EditError(f"edit: a colour is three whole numbers from 0 to 255, not {colour!r}")
    return values.astype(np.uint8)


def _neighbour_sum(values: np.ndarray) -> np.ndarray:
    """The sum of the eight neighbours of each pixel: float32 [h, w, c]."""
    h, w = values.shape[:2]
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    total = sum(padded[dy : dy + h, dx : dx + w] for dy in range(3) for dx in range(3))
    return total - values


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise EditError("edit: the picture is empty")
    if height * width > MAX_PIXELS or max(height, width) > MAX_ASPECT:
        raise EditError(
            f"edit: a picture of {width} x {height} pixels is too large (at most {MAX_PIXELS} pixels, and {MAX_ASPECT} "
            "a side)"
        )


def _same_shape(frame: np.ndarray, image: np.ndarray) -> None:
    if frame.shape != image.shape:
        raise EditError(f"edit: the image has shape {list(image.shape)}, the frame {list(frame.shape)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
