"""The judge's readers: small networks, trained on true clips alone, that say what a clip shows.

`ActionReader` reads the action back from the frames before and after it. It reads the keys in `BUTTONS` (`readable`),
the chosen slot and the camera's turn, from motion that `DepthReader`'s depth gives its scale. `FeatureReader` turns a
frame into features, learned by telling what is in view: kinds of blocks, their sides and depth, the camera's pitch,
the hour, the hotbar. `FeatReader` says from a few frames of a scripted feat whether it succeeded. How often each is
right on true held-out clips stands in the `CARD.md` beside their weights; a reader that is itself wrong proves
nothing.

A key counts as held only where it had an effect: where releasing it for that tick would have changed the next frame
(`effective`). Forward against a wall, jump in mid-air, a swing of the arm that goes on anyway: nobody could see those.

Letters: b clips, t ticks, n frames, h w pixels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from reverie.model.errors import ModelError
from reverie.model.motion import GRID, SIZE, SLOTS, measure, sight, travel
from reverie.model.startup import limit_torch

SHIPPED = Path(__file__).parent / "shipped" / "readers"
CONFIG, WEIGHTS = "readers.json", "readers.safetensors"
BUTTONS: tuple[str, ...] = ("forward", "back", "left", "right", "jump", "sneak", "sprint", "attack", "use")
"""Keys that are read one by one; `hotbar` is read from the frame around the chosen slot."""
EFFECT_METRES = 0.02
"""A key that moves the eye by less than this in a tick cannot be seen at work: sinking and floating, mostly."""
STEPS = (1, 1, 2, 4)
"""Pairs between those that each convolution over time sees."""
SWINGS = 6
"""Phases of the arm's swing, at rest included."""
KINDS, FACES = 25, 7
FEAT_FRAMES = 4
"""Frames that an outcome is read from: the first, and three towards the end."""
CHUNK = 64
"""Frames or pairs in one pass. A constant, because the shape of a pass can change its last bits."""
PITCH_SCALE, TURN_SCALE, TRAVEL_SCALE, COST_SCALE, CENTRE_SCALE = 45.0, 5.0, 5.0, 20.0, 10.0
"""What inputs are divided or multiplied by, so that they are of the order of one."""
DOUBTS = (-4.0, 2.0)
"""Least and most that the depth reader may doubt."""
WIDEST_TURN, STEEPEST = 45.0, 90.0


class Seen(NamedTuple):
    """Everything that the action reader looks at, of b clips of t + 1 frames."""

    turn: Tensor
    """[b, t, 3] degrees, by turning alone, see `motion.Motion`."""
    cost: Tensor
    """[b, t]: what it leaves."""
    full: Tensor
    """[b, t, 3] degrees, by turning and travelling, see `motion.travel`."""
    travel: Tensor
    """[b, t, 3] metres."""
    left: Tensor
    """[b, t]: what both leave."""
    pitch: Tensor
    """[b, t] degrees: the camera's, before the tick, as the depth reader sees it."""
    centre: Tensor
    """[b, t, 2, 12, 12]"""
    slots: Tensor
    """[b, t + 1, 9]"""
    hand: Tensor
    """uint8 [b, t + 1, 3, 23, 30]"""


class Guess(NamedTuple):
    """What the action reader says, as tensors."""

    buttons: Tensor
    """[b, t, 9] logits."""
    swing: Tensor
    """[b, t + 1, 6] logits of the arm's phase."""


class Readings(NamedTuple):
    """Actions read back from frames."""

    buttons: np.ndarray
    """bool [b, t, 9]: held, in the order of `BUTTONS`."""
    hotbar: np.ndarray
    """int64 [b, t]: the slot 1-9 that was chosen at this tick, 0 none."""
    camera: np.ndarray
    """float32 [b, t, 2]: (pitch, yaw) in degrees."""


class ActionReader(nn.Module):
    """An inverse-dynamics model (Baker et al., Video PreTraining, arXiv 2206.11795) on measured motion.

    Each pair of frames becomes a vector, and convolutions over time look at the sixteen pairs to either side: how fast
    the body goes tells, ticks later, whether it sprinted when it jumped.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.hand = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2), nn.GELU(), nn.Conv2d(12, 24, 3, stride=2), nn.GELU(), nn.Flatten(),
            nn.Linear(24 * 4 * 6, 24), nn.GELU(),
        )  # fmt: skip
        self.swing = nn.Linear(24, SWINGS)
        self.centre = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(2 * 144, 16), nn.GELU())
        self.pair = nn.Sequential(
            nn.Linear(4 * 3 + 5 + 16 + 4 * SWINGS, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.times = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2 * step, dilation=step, padding_mode="replicate") for step in STEPS
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(0.1), nn.Linear(width, len(BUTTONS)))

    def forward(self, seen: Seen) -> Guess:
        """Reads b clips."""
        b, after = seen.hand.shape[:2]
        swing = self.swing(self.hand(seen.hand.flatten(0, 1).float() / 127.5 - 1)).unflatten(0, (b, after))
        phase = torch.softmax(swing, -1)
        now, change = seen.centre.float().unbind(2)
        centre = torch.stack(((now - now.mean((-2, -1), keepdim=True)) * 2, change * CENTRE_SCALE), 2)
        angle = torch.deg2rad(seen.pitch)
        fine = seen.travel * TRAVEL_SCALE
        pairs = torch.cat(
            (
                seen.turn / TURN_SCALE,
                seen.full / TURN_SCALE,
                fine,
                torch.tanh(2 * fine),
                torch.stack((torch.sin(angle), torch.cos(angle), seen.pitch / PITCH_SCALE), -1),
                torch.stack((seen.cost, seen.left), -1) * COST_SCALE,
                self.centre(centre.flatten(0, 1)).unflatten(0, (b, after - 1)),
                phase[:, :-1], phase[:, 1:], swing[:, :-1] / 4, swing[:, 1:] / 4,
            ),
            -1,
        )  # fmt: skip
        x = self.pair(pairs).transpose(1, 2)
        for layer in self.times:
            x = x + functional.gelu(layer(x))
        return Guess(self.head(x.transpose(1, 2)), swing)


def camera_of(seen: Seen) -> Tensor:
    """The camera's turns, [b, t, 2] degrees of pitch and yaw. A yaw is about the world's vertical: the camera, looking
    down, sees a part of it as a roll."""
    angle = torch.deg2rad(seen.pitch)
    yaw = seen.full[..., 1] * torch.cos(angle) + seen.full[..., 2] * torch.sin(angle)
    return torch.stack((seen.full[..., 0], yaw), -1).clamp(-WIDEST_TURN, WIDEST_TURN)


class Distances(NamedTuple):
    """What the depth reader says of n frames."""

    depth: Tensor
    """[n, 24, 40] log metres."""
    doubt: Tensor
    """[n, 24, 40]: the error that it expects of them, as its logarithm."""
    pitch: Tensor
    """[n] degrees: the camera's."""


class DepthReader(nn.Module):
    """How far everything in one frame is, how sure that is, and the camera's pitch: what travel is measured with.

    A coarse map of the frame, told where it looks and what the frame is as a whole, is refined by finer ones.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        low, middle, high = widths
        self.widths = tuple(widths)
        self.patches = nn.Conv2d(3, low, 4, stride=4)
        self.second = nn.Conv2d(low, middle, 3, stride=2, padding=1)
        self.third = nn.Conv2d(middle, high, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(1, high, *GRID))
        self.fourth = nn.Conv2d(high, high, 3, padding=1)
        self.squeeze = nn.Conv2d(high, 16, 1)
        self.whole = nn.Linear(16 * GRID[0] * GRID[1], high)
        self.tilt = nn.Linear(high, 1)
        self.fifth = nn.Conv2d(high, high, 3, padding=1)
        self.finer = nn.Conv2d(high, middle, 1)
        self.sixth = nn.Conv2d(middle, middle, 3, padding=1)
        self.finest = nn.Conv2d(middle, low, 1)
        self.seventh = nn.Conv2d(low, low, 3, padding=1)
        self.depth = nn.Conv2d(low, 2, 1)

    def forward(self, frames: Tensor) -> Distances:
        """Of uint8 [n, 96, 160, 3]."""
        low = functional.gelu(self.patches(frames.permute(0, 3, 1, 2).float() / 127.5 - 1))
        middle = functional.gelu(self.second(low))
        x = functional.gelu(self.third(middle) + self.place)
        x = x + functional.gelu(self.fourth(x))
        whole = functional.gelu(self.whole(functional.gelu(self.squeeze(x)).flatten(1)))
        x = x + functional.gelu(self.fifth(x + whole[..., None, None]))
        x = middle + functional.interpolate(self.finer(x), scale_factor=2.0)
        x = x + functional.gelu(self.sixth(x))
        x = low + functional.interpolate(self.finest(x), scale_factor=2.0)
        x = x + functional.gelu(self.seventh(x))
        depth, doubt = self.depth(x).float().unbind(1)
        return Distances(depth, doubt.clamp(*DOUBTS), self.tilt(whole).squeeze(1).float() * PITCH_SCALE)


class FeatureReader(nn.Module):
    """A small convolutional network on one frame, and the heads that it is trained by."""

    def __init__(self, widths: Sequence[int] = (24, 48, 80)) -> None:
        super().__init__()
        low, middle, high = widths
        self.widths = tuple(widths)
        self.patches = nn.Conv2d(3, low, 4, stride=4)
        self.second = nn.Conv2d(low, middle, 3, stride=2, padding=1)
        self.third = nn.Conv2d(middle, high, 3, stride=2, padding=1)
        self.fourth = nn.Conv2d(high, high, 3, padding=1)
        self.cells = nn.Conv2d(high, KINDS + FACES + 1, 1)
        self.whole = nn.Linear(high * GRID[0] * GRID[1], 5 + SLOTS + SWINGS + 2 * KINDS)

    @property
    def dimensions(self) -> int:
        """How many features a frame has."""
        return 2 * self.widths[0] + 2 * self.widths[1] + self.widths[2]

    def maps(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps [n, low, 24, 40], [n, middle, 12, 20] and [n, high, 6, 10] of uint8 [n, 96, 160, 3]."""
        low = functional.gelu(self.patches(frames.permute(0, 3, 1, 2).float() / 127.5 - 1))
        middle = functional.gelu(self.second(low))
        x = functional.gelu(self.third(middle))
        return low, middle, x + functional.gelu(self.fourth(x))

    def features(self, frames: Tensor) -> Tensor:
        """[n, dimensions]: means of the maps, and how much the finer ones vary, which tells sharp from soft."""
        low, middle, high = self.maps(frames)
        parts = (low.mean((2, 3)), low.std((2, 3)), middle.mean((2, 3)), middle.std((2, 3)), high.mean((2, 3)))
        return torch.cat(parts, 1)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What is told of frames: per square [n, 25 kinds + 7 faces + log depth, 6, 10], and of the whole
        [n, pitch, sun, east, crack, wet, 9 slots, 6 swings, 25 targets, 25 grounds]."""
        *_, high = self.maps(frames)
        return self.cells(high), self.whole(high.flatten(1))


class FeatReader(nn.Module):
    """Success of a feat from the feature maps of a few of its frames; one output for each feat."""

    def __init__(self, channels: int, feats: int, width: int = 48) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 8, 1)
        inputs = (2 * FEAT_FRAMES - 1) * 8 * GRID[0] * GRID[1]
        self.hidden = nn.Sequential(nn.Dropout(0.2), nn.Linear(inputs, width), nn.GELU(), nn.Dropout(0.2))
        self.head = nn.Linear(width, feats)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits [n, feats] of maps [n, FEAT_FRAMES, channels, 6, 10]."""
        n = len(maps)
        small = self.squeeze(maps.flatten(0, 1)).unflatten(0, (n, FEAT_FRAMES))
        both = torch.cat((small, (small[:, 1:] - small[:, :1]).abs()), 1)
        return self.head(self.hidden(both.flatten(1)))


def effective(buttons: np.ndarray, effect: np.ndarray) -> np.ndarray:
    """bool [..., 9]: which of the held `buttons` [..., 9] had an effect (metres, or 1 for hands) that can be seen."""
    return buttons & (effect >= EFFECT_METRES)


def fitted(frames: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] of any size as uint8 [n, 96, 160, 3]."""
    tensor = torch.from_numpy(np.array(frames))
    if frames.shape[1:3] == SIZE:
        return tensor
    small = functional.interpolate(tensor.permute(0, 3, 1, 2).float(), SIZE, mode="area")
    return small.round().to(torch.uint8).permute(0, 2, 3, 1)


@torch.inference_mode()
def look(depths: DepthReader, frames: np.ndarray) -> Seen:
    """What the action reader looks at, of uint8 [b, t + 1, h, w, 3]; depth and pitch are those that `depths` sees."""
    b, after = frames.shape[:2]
    columns: dict[str, list[Tensor]] = {name: [] for name in Seen._fields}
    for clip in frames:
        fit = fitted(clip)
        for low in range(0, after - 1, CHUNK):
            first, second = fit[low : low + CHUNK][: after - 1 - low], fit[low + 1 : low + 1 + CHUNK]
            motion = measure(first, second)
            far = depths(fit[low : low + 1 + CHUNK])
            pitch = far.pitch[:-1].clamp(-STEEPEST, STEEPEST)
            found, full, left = travel(first, second, far.depth[1:].exp(), far.doubt[1:].exp(), pitch, motion.turn)
            parts = (motion.turn, motion.cost, full, found, left, pitch, motion.centre)
            for name, part in zip(Seen._fields, parts):
                columns[name].append(part)
        for name, part in sight(fit)._asdict().items():
            columns[name].append(part)
    return Seen(*(torch.cat(column).unflatten(0, (b, -1)) for column in columns.values()))


class Readers:
    """The trained readers of a folder, ready to read. They run on the CPU, so that their figures repeat."""

    def __init__(
        self,
        actions: ActionReader,
        depths: DepthReader,
        features: FeatureReader,
        feats: FeatReader,
        thresholds: Sequence[float],
        names: Sequence[str],
        hotbar: bool = True,
    ) -> None:
        """`thresholds` are the logits above which a button counts as held; `names` those of the feats; `hotbar` says
        whether the hotbar is drawn where `motion.slots` looks for it.
        """
        self.action_reader, self.depth_reader = actions.eval(), depths.eval()
        self.feature_reader, self.feat_reader = features.eval(), feats.eval()
        self.thresholds, self.names, self.hotbar = tuple(thresholds), tuple(names), hotbar

    @classmethod
    def load(cls, folder: Path | None = None) -> Readers:
        """The readers in a folder, or those that ship. Raises ModelError."""
        from safetensors.torch import load_file

        limit_torch()
        folder = folder or SHIPPED
        try:
            config = json.loads((folder / CONFIG).read_text("utf-8"))
            weights = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
            features = FeatureReader(config["widths"])
            names = [str(name) for name in config["feats"]]
            readers = cls(
                ActionReader(int(config["width"])), DepthReader(config["depth_widths"]), features,
                FeatReader(features.widths[2], len(names)), [float(level) for level in config["thresholds"]], names,
                bool(config.get("hotbar", True)),
            )  # fmt: skip
            for prefix, network in readers._networks().items():
                part = {key[len(prefix) + 1 :]: value for key, value in weights.items() if key.startswith(prefix + ".")}
                network.load_state_dict(part, strict=True)
        except Exception as error:  # safetensors raises its own type; a damaged file may raise many
            raise ModelError(f"{folder}: holds no readers ({str(error).splitlines()[0][:120]})") from error
        return readers

    def save(self, folder: Path) -> None:
        """Writes them, in float16, into a folder."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "width": self.action_reader.width, "depth_widths": list(self.depth_reader.widths),
            "widths": list(self.feature_reader.widths),
            "thresholds": [round(level, 4) for level in self.thresholds], "feats": list(self.names),
            "hotbar": self.hotbar,
        }  # fmt: skip
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", "utf-8")
        weights = {
            f"{prefix}.{name}": value.detach().to(torch.float16).contiguous()
            for prefix, network in self._networks().items()
            for name, value in network.state_dict().items()
        }
        save_file(weights, folder / WEIGHTS)

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "actions": self.action_reader, "depths": self.depth_reader,
            "features": self.feature_reader, "feats": self.feat_reader,
        }  # fmt: skip

    @property
    def readable(self) -> tuple[str, ...]:
        """The keys that are read."""
        return (*BUTTONS, "hotbar") if self.hotbar else BUTTONS

    @torch.inference_mode()
    def read_actions(self, frames: np.ndarray) -> Readings:
        """The actions between the frames of clips, uint8 [b, t + 1, h, w, 3]."""
        seen = look(self.depth_reader, frames)
        guesses = [self.action_reader(Seen(*(part[i : i + 1] for part in seen))) for i in range(len(frames))]
        levels = torch.tensor(self.thresholds)
        chosen = seen.slots.argmax(-1)
        hotbar = torch.where(chosen[:, 1:] != chosen[:, :-1], chosen[:, 1:] + 1, torch.zeros_like(chosen[:, 1:]))
        buttons = torch.cat([guess.buttons for guess in guesses]) > levels
        return Readings(buttons.numpy(), hotbar.numpy(), camera_of(seen).numpy())

    @torch.inference_mode()
    def features(self, frames: np.ndarray) -> np.ndarray:
        """float64 [n, dimensions] of frames, uint8 [n, h, w, 3]."""
        parts = [
            self.feature_reader.features(fitted(frames[low : low + CHUNK])) for low in range(0, len(frames), CHUNK)
        ]
        return torch.cat(parts).double().numpy()

    @torch.inference_mode()
    def maps(self, frames: np.ndarray) -> Tensor:
        """Feature maps [n, high, 6, 10] of frames, uint8 [n, h, w, 3]."""
        parts = [
            self.feature_reader.maps(fitted(frames[low : low + CHUNK]))[-1] for low in range(0, len(frames), CHUNK)
        ]
        return torch.cat(parts)

    @torch.inference_mode()
    def read_feats(self, names: Sequence[str], frames: np.ndarray) -> np.ndarray:
        """Whether each of n runs succeeded, bool [n]: `names` of their feats, frames uint8 [n, FEAT_FRAMES, h, w, 3].

        Raises ModelError for a feat that was not learned.
        """
        unknown = sorted(set(names) - set(self.names))
        if unknown:
            raise ModelError(f"readers: no feat is called {unknown[0]!r}")
        n = len(frames)
        maps = self.maps(frames.reshape(n * FEAT_FRAMES, *frames.shape[2:])).unflatten(0, (n, FEAT_FRAMES))
        logits = self.feat_reader(maps)
        columns = torch.tensor([self.names.index(name) for name in names])
        return (logits[torch.arange(n), columns] > 0).numpy()
