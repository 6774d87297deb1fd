"""Pictures and masks: any size and mode is fitted or refused; brushes, blends and tints do what they say."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from reverie.simulator import edits
from reverie.simulator.edits import Stroke
from reverie.simulator.errors import EditError

SIZE = (32, 48)


def half_red() -> np.ndarray:
    """Left half red, right half blue: uint8 [64, 96, 3]."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48, 0] = image[:, 48:, 2] = 255
    return image


def looks_half_red(frame: np.ndarray) -> bool:
    assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8
    return bool(
        (np.abs(frame[:, 3:21] - [255.0, 0, 0]) <= 3).all() and (np.abs(frame[:, 27:45] - [0, 0, 255.0]) <= 3).all()
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_picture_modes(mode):
    image = Image.fromarray(half_red())
    if mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert edits.fit_image(image, SIZE).shape == (*SIZE, 3)
        return
    assert looks_half_red(edits.fit_image(image.convert(mode), SIZE))


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "gif", "tiff", "ppm"])
def test_picture_files(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(half_red()).save(path)
    assert looks_half_red(edits.fit_image(path, SIZE))
    assert looks_half_red(edits.fit_image(str(path), SIZE))


def test_grey_and_deep_pictures(tmp_path):
    grey = np.full((10, 10), 90, np.uint8)
    for image in (grey, grey[..., None], Image.fromarray(grey), grey.astype(np.int64), grey.astype(np.float32) / 255):
        assert (edits.fit_image(image, SIZE) == 90).all()
    assert (edits.fit_image(grey.astype(np.uint16) * 257, SIZE) == 90).all()
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((20, 20), 90 * 257, np.uint16)).save(deep)
    assert (edits.fit_image(deep, SIZE) == 90).all()
    bits = tmp_path / "bits.png"
    Image.fromarray(np.eye(32, 48) > 0).save(bits)
    assert edits.fit_image(bits, SIZE)[5, 5].tolist() == [255] * 3
    assert edits.fit_image(np.eye(32, 48) > 0, SIZE)[5, 6].tolist() == [0] * 3


def test_sizes():
    assert (edits.fit_image(np.full((1, 1, 3), 7, np.uint8), SIZE) == 7).all()
    assert edits.fit_image(np.zeros((1, 5000), np.uint8), SIZE).shape == (*SIZE, 3)
    same = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    fitted = edits.fit_image(same, SIZE)
    assert np.array_equal(fitted, same) and not np.shares_memory(fitted, same)
    large = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    mean = large.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(edits.fit_image(large, SIZE) - mean).max() <= 1


def test_crop_keeps_proportions():
    tall = np.zeros((96, 48, 3), np.uint8)
    tall[32:64] = 200
    assert (edits.fit_image(tall, SIZE, crop=True)[2:-2] == 200).all()
    assert not edits.fit_image(tall, SIZE)[0].any()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 5), np.uint8), np.zeros(5, np.uint8),
        np.zeros((2, 2, 2, 2), np.uint8),
        np.full((4, 4), 300), np.full((4, 4), -1), np.full((4, 4), np.nan), np.full((4, 4), 1.5), np.full((4, 4), 1j),
        np.full((4, 4), "x"), np.full((4, 4), None), 5, None, [[1, 2]], b"abc",
        np.zeros((1, edits.MAX_ASPECT + 1), np.uint8),
    ],
)  # fmt: skip
def test_bad_pictures_are_refused(bad):
    with pytest.raises(EditError) as caught:
        edits.fit_image(bad, SIZE)
    assert "\n" not in str(caught.value)


def png_of(width: int, height: int) -> bytes:
    """A tiny file that claims to be a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9000, 20000, 2**31 - 1])
@pytest.mark.filterwarnings("error")
def test_decompression_bombs_are_refused(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png_of(side, side))
    with pytest.raises(EditError, match=r"a\.png"):
        edits.fit_image(tmp_path / "a.png", SIZE)


def test_damaged_and_foreign_files(tmp_path):
    whole = tmp_path / "whole.png"
    Image.fromarray(half_red()).save(whole)
    data, path = whole.read_bytes(), tmp_path / "a.png"
    for content in (b"", b"hello", data[:60], data[:-30], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(content)
        with pytest.raises(EditError, match=r"a\.png: cannot be read") as caught:
            edits.fit_image(path, SIZE)
        assert "\n" not in str(caught.value)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(EditError):
            edits.fit_image(missing, SIZE)


@pytest.mark.parametrize(
    "mask",
    [
        np.arange(96)[None, :].repeat(64, 0) < 48,
        (np.arange(96)[None, :].repeat(64, 0) < 48).astype(np.uint8),
        (np.arange(96)[None, :].repeat(64, 0) < 48).astype(np.uint8) * 255,
        (np.arange(96)[None, :].repeat(64, 0) < 48).astype(np.float32),
        (np.arange(12)[None, :].repeat(2, 0) < 6).astype(np.int64),
        (np.arange(96)[None, :, None].repeat(64, 0) < 48),
    ],
)
def test_masks(mask):
    fitted = edits.fit_mask(mask, SIZE)
    assert fitted.dtype == bool and np.array_equal(fitted, np.arange(48)[None, :].repeat(32, 0) < 24)


def test_bad_masks_are_refused():
    for bad in (np.full((4, 4), np.nan), np.zeros((0, 4), bool), np.zeros(4, bool), "nowhere.png"):
        with pytest.raises(EditError):
            edits.fit_mask(bad, SIZE)


def test_transparency_becomes_the_mask():
    frame = np.full((*SIZE, 3), 100, np.uint8)
    picture = np.zeros((*SIZE, 4), np.uint8)
    picture[:8] = (200, 200, 200, 255)
    picture[8:16] = (200, 200, 200, 128)
    image, mask = edits.fit_edit(picture, None, frame)
    assert mask[:16].all() and not mask[16:].any()
    assert (image[:8] == 200).all() and (np.abs(image[8:16].astype(int) - 150) <= 1).all()
    _, both = edits.fit_edit(picture, np.arange(48)[None, :].repeat(32, 0) < 24, frame)
    assert both[:16, :24].all() and both.sum() == 16 * 24
    assert edits.fit_edit(picture[..., :3], None, frame)[1] is None


def test_composite_and_blend():
    black, white = np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 255, np.uint8)
    mask = np.eye(*SIZE) > 0
    assert np.array_equal(edits.composite(black, white, mask).any(axis=2), mask)
    assert (edits.composite(black, white, None) == 255).all()
    assert (edits.blend(black, white, 0.5) == 128).all()
    half = edits.blend(black, white, 1.0, mask)
    assert (half[mask] == 255).all() and not half[~mask].any()
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(EditError):
            edits.blend(black, white, wrong)
    with pytest.raises(EditError, match="shape"):
        edits.composite(black, white[:4], None)


def test_strokes():
    frame = np.zeros((*SIZE, 3), np.uint8)
    image, mask = edits.paint(frame, [Stroke(((10.5, 8.5),), 3.0, (255, 128, 0))])
    y, x = np.nonzero(mask)
    assert {(x.min(), x.max()), (y.min(), y.max())} == {(7, 13), (5, 11)}
    assert (image[mask] == (255, 128, 0)).all() and not image[~mask].any() and not frame.any()
    line = Stroke(((2.0, 20.0), (40.0, 20.0), (40.0, 30.0)), 1.0, (1, 2, 3))
    _, mask = edits.paint(frame, [line])
    assert mask[20, 2:40].all() and mask[20:30, 40].all() and not mask[25, 10] and mask.sum() < 120
    _, dot = edits.paint(frame, [Stroke(((47.99, 0.01),), 0.01, (1, 2, 3))])
    assert dot[0, 47]
    _, outside = edits.paint(frame, [Stroke(((-500.0, 1e7),), 5.0, (1, 2, 3))])
    assert not outside.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "stroke",
    [
        Stroke((), 1.0, (0, 0, 0)), Stroke(((1.0, float("nan")),), 1.0, (0, 0, 0)),
        Stroke(((1.0, 1.0),), 0.0, (0, 0, 0)),
        Stroke(((1.0, 1.0),), float("inf"), (0, 0, 0)), Stroke(((1.0, 1.0),), 1.0, (0, 0, 256)),
        Stroke(((1.0, 1.0),), 1.0, (0.5, 0, 0)), Stroke(((1.0, 1.0, 1.0),), 1.0, (0, 0, 0)),
    ],
)  # fmt: skip
def test_bad_strokes_are_refused(stroke):
    with pytest.raises(EditError):
        edits.paint(np.zeros((*SIZE, 3), np.uint8), [stroke])


def test_erase_fills_from_around():
    frame = np.full((*SIZE, 3), 60, np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[10:20, 10:20] = True
    frame[mask] = 255
    assert (edits.erase(frame, mask) == 60).all()
    assert np.array_equal(edits.erase(frame, np.ones(SIZE, bool)), frame)
    assert np.array_equal(edits.erase(frame, np.zeros(SIZE, bool)), frame)


def test_tints():
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    dark = edits.night(frame)
    assert dark.mean() < frame.mean() * 0.35 and dark[..., 2].mean() > dark[..., 0].mean()
    warm = edits.dusk(frame)
    assert warm[..., 0].mean() > warm[..., 2].mean()
    assert np.array_equal(edits.tint(frame, (1, 1, 1)), frame)
