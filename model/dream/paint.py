"""Colours on faces of cells and on cards in space: what an artist paints, and what a start picture shows.

A painted face holds 16 x 16 texels of colour and alpha, filtered with the same mip-map as the neural textures. Where
paint lies over what the network draws, the pixel is a copy of it; that share is part of the ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from reverie.model.caster.camera import FIELD_OF_VIEW, Camera, camera_basis, camera_rays, pixel_scale, project
from reverie.model.caster.gbuffer import GBuffer
from reverie.model.caster.kernel import NO_FACE
from reverie.model.cells import Cell
from reverie.model.frame.features import EDGE, FACE_TEXELS, LEVELS, FrameInput

FaceKey = tuple[int, int, int, int]
"""x, y, z of a cell and the face as the caster counts them."""
OFFSET = 1 << 24
SAME_LIGHT = 0.03
"""Share of a day for which the colours of a start picture hold; after twice of it they have given way."""
MAX_MAGNIFIED = 2.0
"""Times that a colour of a picture may be enlarged before the model's own look takes over."""
_FACE_AXES = ((2, 1), (0, 2), (0, 1))
"""Axes of u and v on faces of each axis."""


@dataclass(frozen=True, slots=True, eq=False)
class PaintedFace:
    """`texels` uint8 [16, 16, 4] (row v, column u; colour and alpha), read-only."""

    texels: np.ndarray
    grain: float = 0.0
    """Texels that a pixel spanned where the colours come from; 0: an artist's, which never give way."""

    def faded(self, opacity: float) -> PaintedFace:
        """The same with its alpha multiplied by `opacity`."""
        if opacity >= 1:
            return self
        texels = self.texels.copy()
        texels[..., 3] = np.round(texels[..., 3] * opacity)
        texels.flags.writeable = False
        return PaintedFace(texels, self.grain)


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """A picture uint8 [h, w, 4] (colour and alpha) on a rectangle in space.

    `corner` is the place of its upper left, `across` and `down` its edges, float64 [3] in metres. A card with
    `distant` moves along with the eye: it has a direction and no place.
    """

    picture: np.ndarray
    corner: np.ndarray
    across: np.ndarray
    down: np.ndarray
    distant: bool = False
    of_picture: bool = False
    """It shows a start picture, not an artist's paint."""


@dataclass(frozen=True, eq=False)
class Paint:
    """All paint of a dream. A value."""

    faces: Mapping[FaceKey, PaintedFace] = field(default_factory=lambda: MappingProxyType({}))
    cards: tuple[Card, ...] = ()
    hour: float | None = None
    """When a start picture was taken (0 midnight, 0.5 noon); what it shows gives way as the light changes."""

    def with_faces(self, faces: Mapping[FaceKey, PaintedFace]) -> Paint:
        """Painted faces laid over those that are there: new texels cover old ones by their alpha."""
        merged = dict(self.faces)
        for key, face in faces.items():
            merged[key] = _over(face, merged[key]) if key in merged else face
        return replace(self, faces=MappingProxyType(merged))

    def without_cells(self, cells: set[Cell]) -> Paint:
        """The paint that is left when cells change: faces of theirs, and of no others, lose it."""
        gone = [key for key in self.faces if key[:3] in cells]
        if not gone:
            return self
        kept = {key: face for key, face in self.faces.items() if key[:3] not in cells}
        return replace(self, faces=MappingProxyType(kept))

    def with_cards(self, cards: tuple[Card, ...]) -> Paint:
        """With more cards, in front of those that are there."""
        return replace(self, cards=self.cards + cards)

    def freshness(self, hour: float) -> float:
        """1 while the light is that of the start picture, 0 when it is another."""
        if self.hour is None:
            return 1.0
        apart = abs((hour - self.hour + 0.5) % 1.0 - 0.5)
        return min(max(2.0 - apart / SAME_LIGHT, 0.0), 1.0)


def _over(front: PaintedFace, back: PaintedFace) -> PaintedFace:
    a = front.texels[..., 3:].astype(np.float32) / 255
    b = back.texels[..., 3:].astype(np.float32) / 255
    alpha = a + b * (1 - a)
    colour = (front.texels[..., :3] * a + back.texels[..., :3] * b * (1 - a)) / np.maximum(alpha, 1e-6)
    texels = np.concatenate([colour, alpha * 255], 2).round().astype(np.uint8)
    texels.flags.writeable = False
    # what no artist has touched stays a picture's, what one has never gives way
    return PaintedFace(texels, 0.0 if front.grain == 0.0 or back.grain == 0.0 else min(front.grain, back.grain))


def face_codes(cells: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """int64 [...]: one number for each cell [..., 3] and face [...]."""
    x, y, z = np.moveaxis(cells.astype(np.int64), -1, 0)
    return (((x + OFFSET) * (2 * OFFSET) + (z + OFFSET)) * 64 + np.clip(y, 0, 63)) * 8 + faces


class PaintIndex:
    """Painted faces as sorted arrays, for looking up all pixels at once; built once for each `Paint`."""

    def __init__(self, paint: Paint) -> None:
        keys = np.array(list(paint.faces), np.int64).reshape(-1, 4)
        codes = face_codes(keys[:, :3], keys[:, 3])
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        faces = list(paint.faces.values())
        texels = np.stack([faces[i].texels for i in order]) if faces else np.zeros((0, EDGE, EDGE, 4), np.uint8)
        self._rows = _mip_rows(texels)
        self._grain = np.array([faces[i].grain for i in order], np.float32)

    def cover(self, gbuffer: GBuffer, inputs: FrameInput, freshness: float = 1.0) -> np.ndarray | None:
        """float32 [h, w, 4]: colour (0 to 1, times alpha) and alpha of the paint on the first layer, None if none.

        `freshness` is the opacity of what start pictures show.
        """
        if not len(self._codes):
            return None
        faces = gbuffer.faces[..., 0]
        codes = face_codes(gbuffer.cells[..., 0, :], faces.astype(np.int64))
        at = np.searchsorted(self._codes, codes)
        hit = (at < len(self._codes)) & (faces != NO_FACE) & (gbuffer.owner[..., 0] < 0)
        hit &= self._codes[np.minimum(at, len(self._codes) - 1)] == codes
        if not hit.any():
            return None
        index = at[hit]
        taps = inputs.texels[..., 0, :][hit] % FACE_TEXELS
        values = self._rows[index[:, None] * FACE_TEXELS + taps]
        colour = (values * inputs.weights[..., 0, :][hit][..., None]).sum(1)
        grain = self._grain[index]
        spans = np.sqrt(np.maximum(gbuffer.geometry[..., 0, 3] * gbuffer.geometry[..., 0, 4], 1e-9))[hit]
        near = np.clip(2 * MAX_MAGNIFIED * spans / np.maximum(grain, 1e-6) - 1, 0, 1)
        kept = np.where(grain > 0, freshness * near, 1.0)
        cover = np.zeros((*faces.shape, 4), np.float32)
        cover[hit] = colour * kept[:, None]
        return cover


def _mip_rows(texels: np.ndarray) -> np.ndarray:
    """float32 [n * FACE_TEXELS, 4]: colour times alpha, and alpha, of all levels of faces [n, 16, 16, 4], as the
    texture table has them."""
    faces = len(texels)
    level = texels.astype(np.float32) / 255
    level[..., :3] *= level[..., 3:]
    rows = [level.reshape(faces, EDGE * EDGE, 4)]
    for _ in range(LEVELS - 1):
        n = level.shape[1] // 2
        level = level.reshape(faces, n, 2, n, 2, 4).mean((2, 4))
        rows.append(level.reshape(faces, n * n, 4))
    return np.concatenate(rows, 1).reshape(-1, 4)


def card_cover(card: Card, camera: Camera, gbuffer: GBuffer, freshness: float = 1.0) -> np.ndarray | None:
    """float32 [h, w, 4]: what a card covers of a picture, where nothing nearer stands; None if nothing."""
    opacity = freshness if card.of_picture else 1.0
    if opacity <= 0:
        return None
    h, w = gbuffer.wet.shape
    eye = np.zeros(3) if card.distant else np.asarray(camera.position, np.float64)
    rays = camera_rays(camera_basis(camera.yaw, camera.pitch), (h, w), camera.fov)
    normal = np.cross(card.across, card.down)
    facing = rays @ normal
    off = float((card.corner - eye) @ normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = off / facing
    point = eye + rays * np.where(np.isfinite(t), t, 0.0)[..., None] - card.corner
    u = point @ card.across / (card.across @ card.across)
    v = point @ card.down / (card.down @ card.down)
    seen = (t > 0) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    depth = gbuffer.depth()
    length = np.linalg.norm(rays, axis=2)
    seen &= np.isinf(depth) if card.distant else t * length < depth
    if not seen.any():
        return None
    ph, pw, _ = card.picture.shape
    x, y = np.clip(u[seen] * pw - 0.5, 0, pw - 1), np.clip(v[seen] * ph - 0.5, 0, ph - 1)
    x0, y0 = np.minimum(x.astype(int), max(pw - 2, 0)), np.minimum(y.astype(int), max(ph - 2, 0))
    x1, y1 = np.minimum(x0 + 1, pw - 1), np.minimum(y0 + 1, ph - 1)
    a, b = (x - x0)[:, None], (y - y0)[:, None]
    picture = card.picture.astype(np.float32) / 255
    picture = np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], 2)
    value = (picture[y0, x0] * (1 - a) + picture[y0, x1] * a) * (1 - b) + (
        picture[y1, x0] * (1 - a) + picture[y1, x1] * a
    ) * b
    cover = np.zeros((h, w, 4), np.float32)
    cover[seen] = value * opacity
    return cover


def composite(drawn: np.ndarray, covers: list[np.ndarray | None]) -> np.ndarray:
    """uint8 [h, w, 3] of a drawn picture float32 [h, w, 3] (0 to 1) under covers, the last one in front."""
    picture = np.clip(drawn, 0, 1)
    for cover in covers:
        if cover is not None:
            picture = picture * (1 - cover[..., 3:]) + cover[..., :3]
    return (picture * 255 + 0.5).astype(np.uint8)


def paint_from_picture(
    image: np.ndarray, camera: Camera, gbuffer: GBuffer, mask: np.ndarray | None = None, *, artist: bool = False
) -> dict[FaceKey, PaintedFace]:
    """The faces that a camera sees, painted with a picture uint8 [h, w, 3] where `mask` (bool [h, w]) is set.

    Each texel takes the colour at its middle if that is in sight there; texels that are not stay clear.
    """
    h, w = gbuffer.wet.shape
    faces = gbuffer.faces[..., 0]
    usable = (faces != NO_FACE) & (gbuffer.owner[..., 0] < 0)
    if mask is not None:
        usable &= mask
    if not usable.any():
        return {}
    seen = np.concatenate([gbuffer.cells[..., 0, :][usable], faces[usable][:, None].astype(np.int32)], 1)
    keys, first = np.unique(seen, axis=0, return_index=True)
    spans = np.sqrt(np.maximum(gbuffer.geometry[..., 0, 3] * gbuffer.geometry[..., 0, 4], 1e-9))[usable][first]
    middles = (np.arange(EDGE) + 0.5) / EDGE
    places = np.zeros((len(keys), EDGE, EDGE, 3))
    for axis in range(3):
        rows = keys[:, 3] // 2 == axis
        u_axis, v_axis = _FACE_AXES[axis]
        places[rows, ..., u_axis] = middles[None, :]
        places[rows, ..., v_axis] = middles[:, None]
        places[rows, ..., axis] = np.where(keys[rows, 3] % 2 == 1, 0.0, 1.0)[:, None, None]
    places += keys[:, None, None, :3]
    at = project(places, np.asarray(camera.position), camera_basis(camera.yaw, camera.pitch), (h, w), camera.fov)
    column, row = at[..., 0], at[..., 1]
    inside = (at[..., 2] > 0) & (column > -0.5) & (column < w - 0.5) & (row > -0.5) & (row < h - 0.5)
    i, j = np.clip(np.rint(row), 0, h - 1).astype(int), np.clip(np.rint(column), 0, w - 1).astype(int)
    codes = face_codes(gbuffer.cells[..., 0, :], faces.astype(np.int64))
    own = face_codes(keys[:, :3], keys[:, 3])
    shown = inside & usable[i, j] & (codes[i, j] == own[:, None, None])
    texels = np.zeros((len(keys), EDGE, EDGE, 4), np.uint8)
    texels[..., :3] = image[i, j]
    texels[..., 3] = np.where(shown, 255, 0)
    texels.flags.writeable = False
    return {
        (int(key[0]), int(key[1]), int(key[2]), int(key[3])): PaintedFace(texels[k], 0.0 if artist else float(spans[k]))
        for k, key in enumerate(keys)
        if shown[k].any()
    }


def card_of_view(
    image: np.ndarray,
    camera: Camera,
    alpha: np.ndarray,
    distance: float,
    *,
    distant: bool = False,
    of_picture: bool = False,
) -> Card:
    """A card that shows a picture uint8 [h, w, 3] where `alpha` (uint8 [h, w]) says so, `distance` metres ahead."""
    h, w, _ = image.shape
    scale = pixel_scale(h, camera.fov) * distance
    right, up, ahead = camera_basis(camera.yaw, camera.pitch)
    eye = np.zeros(3) if distant else np.asarray(camera.position, np.float64)
    corner = eye + ahead * distance - right * scale * w / 2 + up * scale * h / 2
    picture = np.concatenate([image, alpha[..., None]], 2).astype(np.uint8)
    picture.flags.writeable = False
    return Card(picture, corner, right * scale * w, -up * scale * h, distant, of_picture)


def camera_of_card(card: Card, fov: float = FIELD_OF_VIEW) -> Camera:
    """The camera that sees a card as `card_of_view` made it, exactly before its eye."""
    height = card.picture.shape[0]
    right, up = (edge / np.linalg.norm(edge) for edge in (card.across, -card.down))
    ahead = np.cross(up, right)
    distance = float(np.linalg.norm(card.down)) / (pixel_scale(height, fov) * height)
    x, y, z = (card.corner + (card.across + card.down) / 2 - ahead * distance).tolist()
    pitch = math.degrees(math.asin(min(max(-ahead[1], -1.0), 1.0)))
    return Camera((x, y, z), math.degrees(math.atan2(-ahead[0], ahead[2])), pitch, fov)


__all__ = [
    "Card", "Paint", "PaintIndex", "PaintedFace", "camera_of_card", "card_cover", "card_of_view", "composite",
    "face_codes", "paint_from_picture",
]  # fmt: skip
