"""A trained model as a folder: `config.json`, and a folder for each network. Imports no torch, runs no pickle.

config.json        frame size, vocabulary, kinds of entity, usual height of the ground
frame/ lift/       a safetensors file of weights (float16), and ONNX graphs that read it
land/ dynamics/    the same; dynamics need no graph
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.model.caster.gbuffer import EntityKind
from reverie.model.cells import HEIGHT, Vocabulary
from reverie.model.cores import usable_cores
from reverie.model.dream.dream import Dream
from reverie.model.dream.look import Painter
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.errors import ModelError, ReverieError
from reverie.model.frame.runtime import FrameRunner
from reverie.model.land.world_model import CONFIG as LAND_CONFIG
from reverie.model.land.world_model import WorldModel
from reverie.model.lift.runtime import OnnxLift
from reverie.model.weights import CONFIG, read_record

EDITION = 2
FRAME, LIFT, LAND, DYNAMICS = "frame", "lift", "land", "dynamics"


@dataclass(frozen=True, slots=True)
class DreamConfig:
    """What a model knows besides its networks' weights."""

    size: tuple[int, int]
    """Height and width of the pictures it was trained on, in pixels."""
    vocabulary: Vocabulary
    entities: tuple[EntityKind, ...]
    ground: int
    """Usual height of a body's feet, metres: where pictures of unknown height are put."""

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return {
            "edition": EDITION,
            "size": list(self.size),
            "vocabulary": self.vocabulary.to_dict(),
            "entities": [{"low": list(kind.low), "high": list(kind.high)} for kind in self.entities],
            "ground": self.ground,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DreamConfig:
        """From JSON. Raises ValueError, KeyError or TypeError."""
        height, width = (int(side) for side in data["size"])
        ground = int(data["ground"])
        if min(height, width) <= 0 or not 0 < ground < HEIGHT:
            raise ValueError("size or ground is out of range")
        return cls(
            (height, width),
            Vocabulary.from_dict(data["vocabulary"]),
            tuple(EntityKind(_corner(kind["low"]), _corner(kind["high"])) for kind in data["entities"]),
            ground,
        )


def _corner(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def read_config(folder: Path) -> DreamConfig:
    """The configuration in a folder. Raises ModelError."""
    try:
        return DreamConfig.from_dict(read_record(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: is not a model's configuration ({error})") from error


def fingerprint(folder: Path) -> str:
    """Sixteen hexadecimal digits that name all weights and settings in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".safetensors"):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def open_dream(folder: Path, device: str = "auto", threads: int | None = None) -> tuple[Dream, DreamConfig]:
    """All networks of a folder, ready to play. `device` is auto, cuda or cpu. Raises ModelError."""
    config = read_config(folder)
    for name in (FRAME, LIFT, DYNAMICS):
        if not (folder / name).is_dir():
            raise ModelError(f"{folder}: the network {name!r} is missing")
    try:
        frames = FrameRunner(folder / FRAME, device, threads or max(1, usable_cores() - 1))  # one is for new land
        lifter = OnnxLift(folder / LIFT, device, threads)
        dynamics = Dynamics.load(folder / DYNAMICS)
        land = WorldModel.load(folder / LAND) if (folder / LAND / LAND_CONFIG).is_file() else None
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, ReverieError) as error:
        raise ModelError(f"{folder}: is damaged ({' '.join(str(error).split())[:160]})") from error
    names = config.vocabulary.names
    known = {LIFT: lifter.tokens == len(names), DYNAMICS: dynamics.facts.names == names}
    known |= {FRAME: frames.config.tokens == len(names), LAND: land is None or land.vocabulary.names == names}
    for part, same in known.items():
        if not same:
            raise ModelError(f"{folder}: its {part} was trained with another vocabulary")
    return Dream(Painter(config.vocabulary, config.entities, frames), dynamics, lifter, land), config
