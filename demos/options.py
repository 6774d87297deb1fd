"""What each `reverie` command was asked to do, as plain records, importing nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """`reverie play`. `size` is (height, width) in pixels; None stands for "whatever suits the case"."""

    world: str = "dream"
    model: str = "tiny"
    scene: str | None = None
    scene_tick: int | None = None
    seed: int | None = None
    backend: str = "auto"
    device: str = "auto"
    size: tuple[int, int] | None = None
    record: str | None = None
    headless: bool = False
    frames: int | None = None
    player: str | None = None
    actions: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """`reverie record`. `size` is (height, width) in pixels."""

    out: str
    episodes: int = 8
    ticks: int = 600
    seed: int = 0
    size: tuple[int, int] = (96, 160)
    player: str = "explorer"
    no_hud: bool = False
    json: bool = False


@dataclass(frozen=True, slots=True)
class ClipsOptions:
    """`reverie clips`: `what` is to be done with the recordings in `folder`."""

    what: str
    folder: str
    out: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """`reverie train`. `minutes` is the time box of this run; what follows `init` is for fine-tuning alone."""

    phase: str
    data: str = "voxel"
    out: str | None = None
    preset: str = "tiny"
    minutes: float = 60.0
    resume: bool = False
    seed: int = 0
    init: str | None = None
    decay: float = 0.0
    background: bool = False
    model: str | None = None
    replay: str | None = None
    replay_share: float = 0.25
    held: float = 0.1
    judged: int = 16
    rate: float | None = None
    low_rank: int = 0
    keep_screen: bool = False
    critic: bool = False
    blend: float | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """`reverie evaluate`. Without `data` the clips come from held-out voxel worlds; `held` is the share of map seeds
    that fine-tuning kept from training (None: all clips). `size` is (height, width) in pixels, None: as trained. The
    teacher dreams `teacher_ways` of the longest dreams, too.
    """

    model: str = "tiny"
    data: str | None = None
    clips: int = 64
    seed: int = 1_000_000
    quick: bool = False
    fresh: bool = False
    teacher_ways: int = 0
    held: float | None = None
    seeds: tuple[int, ...] = ()
    size: tuple[int, int] | None = None
    out: str | None = None
    backend: str = "auto"
    device: str = "auto"
    json: bool = False


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """`reverie compare`. No `keys` stand for the judge's own choice."""

    first: str
    second: str
    keys: tuple[str, ...] = ()
    require: str | None = None
    data: str | None = None
    clips: int = 64
    seed: int = 1_000_000
    quick: bool = False
    fresh: bool = False
    out: str | None = None
    backend: str = "auto"
    device: str = "auto"
    json: bool = False


@dataclass(frozen=True, slots=True)
class PageOptions:
    """`reverie page`: `report` is a folder that `reverie evaluate` wrote, `against` another one."""

    report: str
    against: str | None = None
    seed: int = 0
    json: bool = False


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """`reverie bench`: `settle` is in seconds, `long` in minutes of dream (None: no long run)."""

    model: str = "tiny"
    backend: str = "auto"
    device: str = "auto"
    settle: float = 10.0
    long: float | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`reverie export`: `model` and `out` are folders."""

    model: str
    out: str
    json: bool = False
