"""Training of the judge's readers (`model/readers.py`) on true clips: shards, their lessons, and recorded feats."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.model.actions import ACTION_INDEX
from reverie.model.errors import ModelError
from reverie.model.motion import GRID, SLOTS
from reverie.model.readers import (
    BUTTONS,
    CHUNK,
    FACES,
    FEAT_FRAMES,
    KINDS,
    PITCH_SCALE,
    SWINGS,
    ActionReader,
    DepthReader,
    FeatReader,
    FeatureReader,
    Readers,
    Seen,
    effective,
    look,
)
from reverie.model.startup import limit_torch
from reverie.model.training.lessons import KEYS, LESSON, SCALARS, UNKNOWN, UNSEEN, load_lesson
from reverie.model.training.shards import META, Shard

SEGMENT = 48
"""Ticks of the pieces that the action reader learns from; every second one of a shard."""
SHORTEST = 28
"""Ticks of the shortest part of a piece that is learned from: the judge's clips are short, and have two ends."""
KEPT_BACK = 0.1
"""Share of the pieces that thresholds are chosen on, after training on the others."""
SHARES = {"depth": 0.35, "observing": 0.2, "actions": 0.2, "features": 0.2, "feats": 0.05}
"""How the time for training is divided."""
OBSERVING = 0.6
"""Share of the time in which readers that are trained further look at what they learn from."""
FEATS = "feats.npz"
FARTHEST = 64.0
"""Metres; the sky counts as this far."""
LEVELS = np.arange(-2.5, 2.51, 0.25)
"""Thresholds that are tried."""
ROUNDS, ALIKE = 4, 1e-4
"""Times that all thresholds are chosen, one after the other; scores of thresholds that are equally good."""
RATE = 2.5e-3
SWAPPED = {"left": "right", "right": "left"}
SWING_WEIGHT = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """What the action reader learns from: m pieces of t ticks."""

    seen: Seen
    buttons: Tensor
    """float32 [m, t, 9]: held."""
    weight: Tensor
    """float32 [m, t, 9]: 0 where a held key had no effect, or the frame was edited."""
    swing: Tensor
    """int64 [m, t + 1]; `UNKNOWN` where nobody knows."""

    def take(self, rows: np.ndarray) -> Pieces:
        """Some of them."""
        picked = [getattr(self, name)[rows] for name in self.__slots__[1:]]
        return Pieces(Seen(*(part[rows] for part in self.seen)), *picked)


def starts_of(shard: Shard) -> np.ndarray:
    """First rows of every second piece of a shard, those that lie in one episode."""
    starts = np.arange(0, shard.rows - SEGMENT, 2 * SEGMENT)
    return starts[shard.starts[starts] == shard.starts[starts + SEGMENT]]


def observe(depths: DepthReader, shard: Shard, starts: np.ndarray) -> Seen:
    """What is seen of the pieces of a shard."""
    frames = shard.columns["frames"]
    parts = [look(depths, np.asarray(frames[row : row + SEGMENT + 1])[None]) for row in starts]
    seen = Seen(*(torch.cat(column) for column in zip(*parts)))
    return seen._replace(centre=seen.centre.half())


def pieces_of(shard: Shard, lesson: dict[str, np.ndarray], starts: np.ndarray, seen: Seen) -> Pieces:
    """The pieces of a shard that begin at rows `starts`."""
    ticks = starts[:, None] + np.arange(SEGMENT)
    frames = starts[:, None] + np.arange(SEGMENT + 1)
    actions = np.asarray(shard.columns["actions"])
    held = actions[:, [ACTION_INDEX[name] for name in BUTTONS]] > 0.5
    shown = effective(held, lesson["effect"][:, [KEYS.index(name) for name in BUTTONS]].astype(np.float32))
    whole = ~np.asarray(shard.columns["edited"])[ticks + 1]
    weight = (shown | ~held)[ticks] & whole[..., None]
    swing = lesson["scalars"][:, SCALARS.index("swing")].astype(np.int64)
    return Pieces(
        seen,
        torch.from_numpy(shown[ticks].astype(np.float32)),
        torch.from_numpy(weight.astype(np.float32)),
        torch.from_numpy(swing[frames]),
    )


def joined(parts: Sequence[Pieces]) -> Pieces:
    """All pieces of several shards."""
    seen = Seen(*(torch.cat(column) for column in zip(*(part.seen for part in parts))))
    return Pieces(seen, *(torch.cat([getattr(part, name) for part in parts]) for name in Pieces.__slots__[1:]))


def mirrored(pieces: Pieces) -> Pieces:
    """The same seen in a mirror: left is right. What is in the hand stays where it is drawn."""
    seen = pieces.seen
    aside = torch.tensor((-1.0, 1.0, 1.0))
    turned = torch.tensor((1.0, -1.0, -1.0))
    seen = seen._replace(
        turn=seen.turn * turned, full=seen.full * turned, travel=seen.travel * aside, centre=seen.centre.flip(-1)
    )
    order = [BUTTONS.index(SWAPPED.get(name, name)) for name in BUTTONS]
    return replace(pieces, seen=seen, buttons=pieces.buttons[..., order], weight=pieces.weight[..., order])


def shortened(pieces: Pieces, rng: np.random.Generator) -> Pieces:
    """A random part, of one length, of each piece."""
    ticks = pieces.buttons.shape[1]
    length = int(rng.integers(min(SHORTEST, ticks), ticks + 1))
    low = int(rng.integers(ticks - length + 1))

    def cut(part: Tensor) -> Tensor:
        return part[:, low : low + length + part.shape[1] - ticks]

    return Pieces(Seen(*map(cut, pieces.seen)), *(cut(getattr(pieces, name)) for name in Pieces.__slots__[1:]))


def action_loss(reader: ActionReader, pieces: Pieces) -> Tensor:
    """What the action reader is trained by."""
    guess = reader(pieces.seen)
    keys = functional.binary_cross_entropy_with_logits(guess.buttons, pieces.buttons, reduction="none")
    known = pieces.swing.flatten() != UNKNOWN
    swing = functional.cross_entropy(guess.swing.flatten(0, 1)[known], pieces.swing.flatten()[known], reduction="sum")
    return (keys * pieces.weight).sum(-1).mean() + SWING_WEIGHT * swing / known.sum().clamp(min=1)


def _timed(network: nn.Module, seconds: float, weight_decay: float) -> Iterator[torch.optim.Optimizer]:
    """Steps of one network until its time is over, the rate falling to zero."""
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=weight_decay)
    began = time.perf_counter()
    network.train()
    while (progress := (time.perf_counter() - began) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, 10 * progress + 0.05) * (1 - progress)
        optimiser.zero_grad(set_to_none=True)
        yield optimiser
    network.eval()


def train_actions(
    pieces: Pieces, seconds: float, seed: int, batch: int = 16, start: ActionReader | None = None
) -> tuple[ActionReader, list[float]]:
    """The action reader, fresh or from `start`, and its thresholds."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pieces.swing))
    back = max(1, int(KEPT_BACK * len(order)))
    kept, order = pieces.take(order[:back]), order[back:]
    reader = copy.deepcopy(start) or ActionReader()
    for optimiser in _timed(reader, seconds, 0.02):
        some = shortened(pieces.take(rng.choice(order, min(batch, len(order)), replace=False)), rng)
        action_loss(reader, mirrored(some) if rng.random() < 0.5 else some).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
    return reader, thresholds(reader, kept)


@torch.inference_mode()
def thresholds(reader: ActionReader, pieces: Pieces) -> list[float]:
    """The logit above which each button counts as held, so that the F1 of all buttons together is highest here.

    A rare button that is hard to see is often guessed if its own F1 is to be high, and that spoils the F1 of all.
    """
    logits = reader(pieces.seen).buttons
    said = logits[..., None, :] > torch.from_numpy(LEVELS).float()[:, None]
    weight, held = pieces.weight[..., None, :], pieces.buttons[..., None, :]
    right = 2 * (said * held * weight).sum((0, 1)).T.numpy()  # [buttons, levels]
    total = ((said + held) * weight).sum((0, 1)).T.numpy()
    index, every = (right / total.clip(min=1.0)).argmax(1), np.arange(len(BUTTONS))
    for _ in range(ROUNDS):
        for button in every:
            others = every != button
            above = right[others, index[others]].sum() + right[button]
            scores = above / (total[others, index[others]].sum() + total[button]).clip(min=1.0)
            near = np.flatnonzero(scores >= scores.max() - ALIKE)
            index[button] = near[len(near) // 2]
    return [float(LEVELS[one]) for one in index]


def feature_loss(reader: FeatureReader, frames: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """What the feature reader is trained by: everything that is known of a frame."""
    cells, whole = reader(frames)
    kinds = functional.cross_entropy(cells[:, :KINDS], truth["kinds"])
    faces = functional.cross_entropy(cells[:, KINDS : KINDS + FACES], truth["faces"])
    depth = functional.smooth_l1_loss(cells[:, -1], truth["depth"])
    names = [SCALARS.index(name) for name in ("pitch", "sun", "east", "crack", "wet")]
    scale = torch.tensor((1 / PITCH_SCALE, 1.0, 1.0, 1.0, 1.0))
    known = functional.smooth_l1_loss(whole[:, :5], truth["scalars"][:, names] * scale, beta=0.1)
    total = kinds + faces + depth + 3 * known
    low = 5
    for name, count in (("slot", SLOTS), ("swing", SWINGS), ("target", KINDS), ("under", KINDS)):
        goal = truth["scalars"][:, SCALARS.index(name)].long()
        total = total + 0.3 * functional.cross_entropy(whole[:, low : low + count], goal)
        low += count
    return total


class FrameSet:
    """Frames of all shards whose views are known."""

    def __init__(self, shards: Sequence[Shard], lessons: Sequence[dict[str, np.ndarray]]) -> None:
        self.shards, self.lessons = shards, lessons
        self.rows = [np.flatnonzero(lesson["kinds"][:, 0, 0] != UNSEEN) for lesson in lessons]

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Random frames uint8 [size, h, w, 3] and the truth about them."""
        frames, rows = [], []
        for _ in range(size):
            which = int(rng.integers(len(self.shards)))
            row = int(rng.choice(self.rows[which]))
            frames.append(self.shards[which].columns["frames"][row])
            rows.append((which, row))
        metres = np.stack([self.shards[which].columns["depth"][row] for which, row in rows]).astype(np.float32)
        depth = torch.from_numpy(np.log(np.clip(np.nan_to_num(metres, posinf=FARTHEST), 0.1, FARTHEST)))
        truth = {
            name: np.stack([self.lessons[which][name][row] for which, row in rows])
            for name in ("kinds", "faces", "scalars")
        }
        return torch.from_numpy(np.stack(frames)), {
            "depth": functional.adaptive_avg_pool2d(depth.unsqueeze(1), GRID).squeeze(1),
            "kinds": torch.from_numpy(truth["kinds"]).long(),
            "faces": torch.from_numpy(truth["faces"]).long(),
            "scalars": torch.from_numpy(truth["scalars"]),
        }


def train_features(frames: FrameSet, seconds: float, seed: int, batch: int = 32) -> FeatureReader:
    """The feature reader."""
    torch.manual_seed(seed + 1)
    rng = np.random.default_rng(seed + 1)
    reader = FeatureReader()
    for optimiser in _timed(reader, seconds, 0.02):
        feature_loss(reader, *frames.batch(rng, batch)).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
    return reader


def depth_loss(reader: DepthReader, frames: Tensor, depth: Tensor, pitch: Tensor) -> Tensor:
    """What the depth reader is trained by: log metres [n, 24, 40] and degrees [n]."""
    with torch.autocast("cpu", torch.bfloat16):
        far = reader(frames)
    known = ((far.depth - depth).abs() * torch.exp(-far.doubt) + far.doubt).mean()  # what Laplace's distribution says
    return known + 3 * functional.smooth_l1_loss(far.pitch / PITCH_SCALE, pitch / PITCH_SCALE, beta=0.02)


def depth_batch(shards: Sequence[Shard], rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random frames uint8 [size, h, w, 3], their log metres [size, h/4, w/4] and degrees of pitch [size]."""
    which = rng.integers(len(shards), size=size)
    picked = [(shards[one].columns, int(rng.integers(shards[one].rows))) for one in which]
    metres = np.stack([columns["depth"][row] for columns, row in picked]).astype(np.float32)
    return (
        torch.from_numpy(np.stack([columns["frames"][row] for columns, row in picked])),
        torch.from_numpy(np.log(np.clip(np.nan_to_num(metres, posinf=FARTHEST), 0.1, FARTHEST))),
        torch.from_numpy(np.array([columns["eye"][row, 4] for columns, row in picked], np.float32)),
    )


def train_depth(
    shards: Sequence[Shard], seconds: float, seed: int, batch: int = 32, start: DepthReader | None = None
) -> DepthReader:
    """The depth reader, fresh or from `start`."""
    torch.manual_seed(seed + 3)
    rng = np.random.default_rng(seed + 3)
    reader = copy.deepcopy(start) or DepthReader()
    reader = reader.requires_grad_(True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for optimiser in _timed(reader, seconds, 0.02):
        depth_loss(reader, *depth_batch(shards, rng, batch)).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
    return reader.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def train_feats(features: FeatureReader, file: Path, seconds: float, seed: int, batch: int = 64) -> FeatReader:
    """The feat reader, on recorded feats (`simulator/judge/feats.py`), the features frozen. Raises ModelError."""
    try:
        with np.load(file) as kept:
            frames, feat, success = kept["frames"], kept["feat"], kept["success"]
            names = [str(name) for name in kept["names"]]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{file}: holds no recorded feats ({error})") from error
    torch.manual_seed(seed + 2)
    rng = np.random.default_rng(seed + 2)
    flat = torch.from_numpy(frames.reshape(-1, *frames.shape[2:]))
    with torch.inference_mode():
        maps = torch.cat([features.maps(flat[low : low + CHUNK])[-1] for low in range(0, len(flat), CHUNK)])
    maps = maps.clone().unflatten(0, (len(frames), FEAT_FRAMES))
    reader = FeatReader(maps.shape[2], len(names))
    columns, goals = torch.from_numpy(feat.astype(np.int64)), torch.from_numpy(success.astype(np.float32))
    for optimiser in _timed(reader, seconds, 0.05):
        rows = torch.from_numpy(rng.choice(len(frames), min(batch, len(frames)), replace=False))
        logits = reader(maps[rows])[torch.arange(len(rows)), columns[rows]]
        functional.binary_cross_entropy_with_logits(logits, goals[rows]).backward()
        optimiser.step()
    return reader


def train_readers(
    shards: Path,
    lessons: Path,
    feats: Path,
    out: Path,
    seconds: float,
    seed: int = 0,
    base: Readers | None = None,
) -> dict[str, Any]:
    """Trains all readers for `seconds` and writes them to `out/model`; returns a line for the log. Raises ModelError.

    `shards` holds recordings of the voxel world, `lessons` what is known of them, `feats` recorded feats. Of `base`,
    if given, features and feats are kept, so that Fréchet distances stay comparable, and feats are not opened.
    """
    limit_torch()
    opened, known = _with_lessons(shards, lessons)
    parts = ("depth", "observing", "actions") if base else tuple(SHARES)
    share = {part: SHARES[part] / sum(SHARES[one] for one in parts) for part in parts}
    depths = train_depth(opened, seconds * share["depth"], seed)
    pieces = _observed(depths, opened, known, seconds * share["observing"])
    actions, levels = train_actions(pieces, seconds * share["actions"], seed)
    if base is not None:
        features, heads, names = base.feature_reader, base.feat_reader, list(base.names)
    else:
        features = train_features(FrameSet(opened, known), seconds * share["features"], seed)
        heads = train_feats(features, feats, seconds * share["feats"], seed)
        with np.load(feats) as kept:
            names = [str(name) for name in kept["names"]]
    Readers(actions, depths, features, heads, levels, names).save(out / "model")
    return {"shards": len(opened), "ticks": sum(shard.rows for shard in opened), "model": str(out / "model")}


def adapt_readers(
    base: Readers, shards: Path, lessons: Path, out: Path, seconds: float, seed: int = 0
) -> dict[str, Any]:
    """Trains the action reader of `base` further on recordings of another game, and writes all readers to `out/model`.

    Features and feats stay as they are; the hotbar, which lies elsewhere, is no longer read. Returns a line for the
    log. Raises ModelError.
    """
    opened, known = _with_lessons(shards, lessons)
    pieces = _observed(base.depth_reader, opened, known, seconds * OBSERVING)
    actions, levels = train_actions(pieces, seconds * (1 - OBSERVING), seed, start=base.action_reader)
    kept = base.depth_reader, base.feature_reader, base.feat_reader
    Readers(actions, *kept, levels, base.names, hotbar=False).save(out / "model")
    return {"shards": len(opened), "ticks": pieces.weight[..., 0].numel(), "model": str(out / "model")}


def _with_lessons(shards: Path, lessons: Path) -> tuple[list[Shard], list[dict[str, np.ndarray]]]:
    """The shards in a folder that have lessons, and these. Raises ModelError."""
    folders = [
        meta.parent for meta in sorted(shards.glob(f"*/{META}")) if (lessons / meta.parent.name / LESSON).is_file()
    ]
    if not folders:
        raise ModelError(f"{shards}: no recordings with lessons in {lessons}")
    return [Shard.open(folder) for folder in folders], [load_lesson(lessons / folder.name) for folder in folders]


def _observed(
    depths: DepthReader, shards: Sequence[Shard], lessons: Sequence[dict[str, np.ndarray]], seconds: float
) -> Pieces:
    """Pieces of as many shards as can be looked at in that time, at least one. Raises ModelError."""
    parts, began = [], time.perf_counter()
    for shard, lesson in zip(shards, lessons, strict=True):
        starts = starts_of(shard)
        if len(starts):
            parts.append(pieces_of(shard, lesson, starts, observe(depths, shard, starts)))
        if parts and time.perf_counter() - began > seconds:
            break
    if not parts:
        raise ModelError(f"no episode is {SEGMENT} ticks long")
    return joined(parts)
