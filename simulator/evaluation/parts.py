"""What is measured on each run: parts, each a function from a world and a run to values.

A value is a number of one run (null: not known), or, with a name that begins with `_`, what a part's `finish` makes
figures of. Baselines that follow from the run alone stand beside: `copy_*` shows the last frame of the start for ever,
`true_*` is the truth measured in the same way. Further parts are `Part`s like these and are given to `evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.model.actions import ACTION_INDEX
from reverie.simulator.action import Action
from reverie.simulator.evaluation import metrics
from reverie.simulator.evaluation.metrics import Interval, psnr
from reverie.simulator.evaluation.perception import Perception
from reverie.simulator.evaluation.runs import (
    ELSEWHERE,
    FAR_SECONDS,
    HORIZONS,
    READ_TICKS,
    REVISIT_SECONDS,
    SEED_TICKS,
    STAY_SECONDS,
    TURN_RATES,
    WALK_SECONDS,
    Run,
    RunStore,
    far_ticks,
    task_ended,
    walk_ticks,
)
from reverie.simulator.evaluation.sight import paint_door
from reverie.simulator.evaluation.starts import (
    KnowsPlace,
    StartsRuns,
    StartsTrue,
    StartsUnknown,
    hidden_pixels,
)
from reverie.simulator.judge import feats
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCK_ID, SOLID
from reverie.simulator.voxel.render import CREATURE_ID
from reverie.simulator.world import TICKS_PER_SECOND

if TYPE_CHECKING:
    from reverie.model.readers import Readers

CLOSE_TICKS = 32
"""Up to here all pixels are compared, and features too; later nothing fixes what is in a picture."""
GREY = 127
HEADINGS: tuple[feats.Place, ...] = ((0, 0, 1), (-1, 0, 0), (0, 0, -1), (1, 0, 0))
"""The step ahead at a yaw of 0, 90, 180 and 270 degrees."""
NEAR_FLOOR = 0.1
"""Metres by which feet may be below the floor that they stand on."""
HELD_UP = 0.01
"""Metres a tick below which a body whose keys would move it counts as held up."""
TOUCH = 0.01
"""Metres by which a body has to reach into a cell to be inside of it."""
STILL = 3
"""Of 255: a pixel that truly changes by more in ten idle seconds is not still."""
MIN_MOTION = 0.1
"""Of 255: where less moves in truth, there is no ratio of motions."""
FILMED = 2
"""Runs of each part whose frames are kept for contact sheets."""

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far runs are followed."""

    explorer: int = HORIZONS[-1]
    """Ticks."""
    walk: int = 90
    """Seconds."""
    revisit: int = REVISIT_SECONDS[-1]
    stay: int = STAY_SECONDS[-1]
    turn: float = TURN_RATES[0]
    """Degrees a tick of the slowest turn."""
    seeds: int = 8


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Values of a run, and frames uint8 [n, h, w, 3] by name for the contact sheets."""

    values: Values
    film: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Session:
    """A world under measurement, in one column."""

    world: Any
    store: RunStore
    column: str
    limits: Limits
    perception: Perception | None = None
    readouts: Readers | None = None

    @property
    def visible(self) -> np.ndarray:
        """bool [h, w]: pixels that are judged."""
        hidden = hidden_pixels(self.world)
        return np.ones(self.world.size, bool) if hidden is None else ~hidden

    def start(self, run: Run, seed: int | None = None) -> Any:
        """The world's state at tick 0 of a run."""
        seed = run.seed if seed is None else seed
        if isinstance(self.world, StartsRuns):
            return self.world.start_run(run, seed)
        if self.column == "cells":
            assert isinstance(self.world, StartsTrue)
            return self.world.start_true(self.store.true_start(run), seed)
        return self.world.start(run.clip(poses=self.column == "poses"), seed)

    def play(self, state: Any, run: Run, ticks: Sequence[int]) -> tuple[np.ndarray, Any]:
        """The frames, uint8 [n, h, w, 3], that a state's future shows at some ticks of a run, and the last state."""
        frames = [np.zeros((0, *self.world.size, 3), np.uint8)]
        for tick in range(1, max(ticks, default=0) + 1):
            state = self.world.step(state, Action.from_vector(run.actions[tick - 1]))
            if tick in ticks:
                frames.append(np.asarray(self.world.frame(state))[None])
        return np.concatenate(frames), state

    def shown(self, frames: np.ndarray) -> np.ndarray:
        """Frames with pixels that are not judged in grey."""
        return np.where(self.visible[..., None], frames, np.uint8(GREY))


@dataclass(frozen=True, slots=True)
class Part:
    """Figures that are read off runs of one kind."""

    name: str
    kind: str
    measure: Callable[[Session, Run], Measured]
    columns: tuple[str, ...] = ("poses",)
    finish: Callable[[Sequence[Values]], dict[str, Interval]] | None = None
    wanted: Callable[[Limits], bool] = lambda limits: True


def measure_explorer(session: Session, run: Run) -> Measured:
    """Played on from the start, how far from the truth is it?"""
    ticks = [tick for tick in run.ticks if tick <= session.limits.explorer]
    world, state = session.world, session.start(run)
    values: Values = {}
    film = [world.frame(state)]
    since_start = 0
    knows = isinstance(world, KnowsPlace) and session.column != "frames"
    for tick in ticks:
        for at in range(since_start, tick):
            state = world.step(state, Action.from_vector(run.actions[at]))
        since_start = tick
        index = run.index(tick)
        frame, true, first = world.frame(state), run.frames[index], run.first
        film.append(frame)
        seen, since = run.seen[index] & session.visible, run.seen_since[index] & session.visible
        land = seen & np.isfinite(run.distance[index])
        values[f"seen_psnr_{tick}"] = psnr(frame, true, seen)
        values[f"copy_seen_psnr_{tick}"] = psnr(first, true, seen)
        values[f"seen_land_psnr_{tick}"] = psnr(frame, true, land)
        values[f"seen_since_psnr_{tick}"] = psnr(frame, true, since)
        values[f"copy_seen_since_psnr_{tick}"] = psnr(first, true, since)
        if knows:
            values[f"place_error_{tick}"] = float(np.linalg.norm(world.pose(state)[:3] - run.poses[tick, :3]))
        if tick > CLOSE_TICKS:
            continue
        values[f"psnr_{tick}"] = psnr(frame, true, session.visible)
        values[f"copy_psnr_{tick}"] = psnr(first, true, session.visible)
        if session.perception is not None:
            shown = session.shown(np.stack([frame, first]))
            far = session.perception.distance(shown, np.repeat(session.shown(true)[None], 2, 0))
            values[f"perceptual_{tick}"], values[f"copy_perceptual_{tick}"] = far
    kept = run.frames[[run.index(tick) for tick in ticks]]
    return Measured(values, {"dream": np.stack(film), "true": np.concatenate((run.first[None], kept))})


def measure_walk(session: Session, run: Run) -> Measured:
    """Straight on for ninety seconds: is there as much detail, as much contrast, and are the pictures of that kind?"""
    end = session.limits.walk * TICKS_PER_SECOND
    ticks = [tick for tick in run.ticks if tick <= end]
    state = session.start(run)
    start_frame = session.world.frame(state)
    frames, _ = session.play(state, run, ticks)
    true = run.frames[: len(ticks)]
    values: Values = {}
    for seconds in WALK_SECONDS:
        if seconds > session.limits.walk:
            continue
        rows = [ticks.index(tick) for tick in walk_ticks(seconds)]
        for name, energy in (("detail", metrics.laplacian_energy), ("contrast", metrics.contrast)):
            wanted = float(np.mean(energy(true[rows], session.visible)))
            values[f"{name}_{seconds}s"] = _ratio(float(np.mean(energy(frames[rows], session.visible))), wanted)
            values[f"copy_{name}_{seconds}s"] = _ratio(float(energy(run.first, session.visible)), wanted)
    if session.perception is not None:
        elsewhere = session.store.get(run.kind, run.number + ELSEWHERE)
        for seconds in FAR_SECONDS:
            if seconds > session.limits.walk:
                continue
            rows = [ticks.index(tick) for tick in far_ticks(seconds)]
            for name, pictures in (("", frames), ("true_", true), ("elsewhere_", elsewhere.frames)):
                embedded = session.perception.embed(session.shown(pictures[rows]), keep=bool(name))
                values[f"_{name}features_{seconds}s"] = np.round(embedded, 4).tolist()
    shown = [tick for tick in WALK_FILM if tick in ticks]
    rows = [ticks.index(tick) for tick in shown]
    film = {
        "dream": np.concatenate((start_frame[None], frames[rows])),
        "true": np.concatenate((run.first[None], true[rows])),
    }
    return Measured(values, film)


WALK_FILM = (10, 20, 40, 100, 200)
"""Ticks of straight walks that contact sheets show."""


def finish_walks(rows: Sequence[Values]) -> dict[str, Interval]:
    """`frechet_*`: the distance of far frames to the true ones, over that of other worlds' true frames to them."""
    figures = {}
    for seconds in FAR_SECONDS:
        known = [row for row in rows if f"_features_{seconds}s" in row]
        if len(known) < 2:
            continue
        names = ("features", "true_features", "elsewhere_features")
        dreamed, true, elsewhere = (np.array([row[f"_{name}_{seconds}s"] for row in known]) for name in names)
        figures[f"frechet_{seconds}s"] = metrics.frechet_ratio(dreamed, true, elsewhere)
    return figures


def measure_walls(session: Session, run: Run) -> Measured:
    """Straight ahead whatever is in the way: do walls hold the body, and where does it get?"""
    world: Any = session.world
    if not isinstance(session.world, KnowsPlace):
        return Measured({})
    state = session.start(run)
    poses, inside = [np.asarray(world.pose(state), np.float64)], 0
    for tick in range(max(run.ticks)):
        state = world.step(state, Action.from_vector(run.actions[tick]))
        poses.append(np.asarray(world.pose(state), np.float64))
        inside += is_inside(partial(world.get_block, state), poses[-1])
    track = np.stack(poses)
    values: Values = {
        "_held_up": float(held_up(track, run.actions).sum()),
        "_true_held_up": float(held_up(run.poses[: len(track)], run.actions).sum()),
        "_inside": float(inside),
    }
    for tick in run.ticks:
        values[f"body_error_{tick}"] = _apart(session, (track[0], track[tick]), (run.poses[0], run.poses[tick]))
    return Measured(values)


def _apart(session: Session, own: tuple[np.ndarray, np.ndarray], true: tuple[np.ndarray, np.ndarray]) -> float:
    """Metres between two places after a while, each given by the poses float [5] at first and then.

    Without poses a world has coordinates of its own: both ways are then seen from the pose at first.
    """
    if session.column != "frames":
        return float(np.linalg.norm(own[1][:3] - true[1][:3]))
    ways = []
    for first, then in (own, true):
        yaw = math.radians(float(first[3]))
        x, y, z = (then[:3] - first[:3]).tolist()
        ways.append((x * math.cos(yaw) + z * math.sin(yaw), y, z * math.cos(yaw) - x * math.sin(yaw)))
    return math.dist(*ways)


def finish_walls(rows: Sequence[Values]) -> dict[str, Interval]:
    """`walls_standing` and `walls_inside`."""
    known = np.array([[row[f"_{name}"] for name in ("held_up", "true_held_up", "inside")] for row in rows if row])
    if not len(known):
        return {}
    figures = {"walls_inside": metrics.bootstrap(known, lambda drawn: float(drawn[:, 2].sum()))}
    if known[:, 1].sum():
        ratio = metrics.bootstrap(known, lambda drawn: float(drawn[:, 0].sum() / max(drawn[:, 1].sum(), 1.0)))
        figures["walls_standing"] = ratio
    return figures


def held_up(places: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """bool [t]: ticks in which keys float32 [t or more, 25] would move a body that does not move along the ground.

    `places` is float64 [t + 1, 3 or more]: the feet.
    """
    wanted = actions[: len(places) - 1]
    forward = wanted[:, ACTION_INDEX["forward"]] - wanted[:, ACTION_INDEX["back"]]
    left = wanted[:, ACTION_INDEX["left"]] - wanted[:, ACTION_INDEX["right"]]
    moved = np.diff(places[:, [0, 2]], axis=0)
    return ((forward != 0) | (left != 0)) & (np.hypot(moved[:, 0], moved[:, 1]) < HELD_UP)


def is_inside(block: Callable[[int, int, int], str], place: np.ndarray, solid: np.ndarray = SOLID) -> bool:
    """Whether the player's box, its feet at `place`, reaches into a solid cell; `block` names those at x, y, z.

    `solid` is bool [blocks]. Names that are no block's count as free.
    """
    half, height = physics.HALF_WIDTH - TOUCH, physics.HEIGHT - TOUCH
    x, y, z = (float(value) for value in place[:3])
    for cell in product(
        range(math.floor(x - half), math.floor(x + half) + 1),
        range(math.floor(y + TOUCH), math.floor(y + height) + 1),
        range(math.floor(z - half), math.floor(z + half) + 1),
    ):
        name = block(*cell)
        if name in BLOCK_ID and solid[BLOCK_ID[name]]:
            return True
    return False


def measure_turn(session: Session, run: Run) -> Measured:
    """A full turn: does the start come back?"""
    state = session.start(run)
    first = session.world.frame(state)
    frames, _ = session.play(state, run, run.ticks)
    rate = run.kind.removeprefix("turn")
    values = {
        f"turn_return_{rate}": psnr(frames[-1], first, session.visible),
        f"true_turn_return_{rate}": psnr(run.frames[-1], run.first, session.visible),
    }
    return Measured(values, _both(first, frames, run, len(frames)))


def measure_revisit(session: Session, run: Run) -> Measured:
    """Half a turn away, so many seconds there, and back: is it still there?"""
    state = session.start(run)
    first = session.world.frame(state)
    frames, _ = session.play(state, run, run.ticks)
    name = f"{run.kind.removeprefix('revisit')}s"
    values = {
        f"revisit_psnr_{name}": psnr(frames[-1], first, session.visible),
        f"true_revisit_psnr_{name}": psnr(run.frames[-1], run.first, session.visible),
        f"elsewhere_revisit_psnr_{name}": psnr(run.frames[0], run.first, session.visible),
    }
    return Measured(values, _both(first, frames, run, len(frames)))


def measure_back(session: Session, run: Run) -> Measured:
    """Eight metres on and back: what was in sight at the start, against the truth."""
    state = session.start(run)
    first = session.world.frame(state)
    frames, _ = session.play(state, run, run.ticks)
    seen = run.seen[-1] & session.visible
    values = {
        "walk_return_psnr": psnr(frames[-1], run.frames[-1], seen),
        "copy_walk_return_psnr": psnr(run.first, run.frames[-1], seen),
    }
    return Measured(values, _both(first, frames, run, len(frames)))


def measure_idle(session: Session, run: Run) -> Measured:
    """Ten seconds without input: what is still in truth stays, and what moves in truth moves as much."""
    state = session.start(run)
    first = session.world.frame(state)
    frames, _ = session.play(state, run, run.ticks)
    change = np.abs(run.frames.astype(np.int16) - run.first).max(axis=(0, 3))
    animals = (run.tokens == CREATURE_ID).any(0) | (run.start_tokens[-1] == CREATURE_ID)
    water = (run.tokens == BLOCK_ID["water"]).any(0)
    moving = (change > STILL) | animals | water | np.isinf(run.distance).any(0)
    still, moves = ~moving & session.visible, moving & session.visible
    values: Values = {
        "idle_drift": metrics.mean_change(frames[-1], first, still),
        "true_idle_drift": metrics.mean_change(run.frames[-1], run.first, still),
    }
    wanted = float(metrics.mean_change(run.frames[1:], run.frames[:-1], moves).mean())
    if wanted > MIN_MOTION:
        values["idle_motion"] = float(metrics.mean_change(frames[1:], frames[:-1], moves).mean()) / wanted
    return Measured(values, _both(first, frames, run, len(frames)))


def measure_seeds(session: Session, run: Run) -> Measured:
    """Several seeds from one start: alike where the truth is known, different where it is not."""
    drawn = []
    for number in range(session.limits.seeds):
        frames, _ = session.play(session.start(run, run.seed + number), run, run.ticks)
        drawn.append(frames)
    away, back = run.index(SEED_TICKS), run.index(2 * SEED_TICKS)
    new, same = ~run.seen[away] & session.visible, run.seen[back] & session.visible
    pairs = list(combinations(range(len(drawn)), 2))
    detail = np.mean([metrics.laplacian_energy(frames[away], new) for frames in drawn])
    values = {
        "seeds_same": float(np.mean([psnr(drawn[i][back], drawn[j][back], same) for i, j in pairs])),
        "seeds_new": float(np.mean([psnr(drawn[i][away], drawn[j][away], new) for i, j in pairs])),
        "seeds_new_detail": _ratio(float(detail), float(metrics.laplacian_energy(run.frames[away], new))),
    }
    return Measured(values, {"dream": np.stack([frames[away] for frames in drawn]), "true": run.frames[away][None]})


def measure_door(session: Session, run: Run) -> Measured:
    """A door is painted on a wall at tick 0: is it there later, in its pixels, as in the truth with the same paint?"""
    assert run.door is not None
    kind = run.kind.removeprefix("door-")
    ticks = [tick for tick in run.ticks if kind != "stay" or tick <= session.limits.stay * TICKS_PER_SECOND]
    state = session.start(run)
    before = session.world.frame(state)
    image, mask = paint_door(before, run.view(-1), run.door)
    state = session.world.edit(state, image, mask, 0.0)
    painted = session.world.frame(state)
    frames, _ = session.play(state, run, ticks)
    values: Values = {"edit_psnr_0s": psnr(painted, image, mask & session.visible)}
    true = [paint_door(run.first, run.view(-1), run.door)[0]]
    for index, tick in enumerate(ticks):
        edited, region = paint_door(run.frames[index], run.view(index), run.door)
        true.append(edited)
        region = region & session.visible
        good, bare = psnr(frames[index], edited, region), psnr(frames[index], run.frames[index], region)
        copied = psnr(true[0], edited, region)
        if kind == "stay":
            seconds = tick // TICKS_PER_SECOND
            values[f"edit_psnr_{seconds}s"], values[f"edit_gain_{seconds}s"] = good, good - bare
        elif index == len(ticks) - 1:
            values[f"edit_return_{kind}"], values[f"edit_return_gain_{kind}"] = good, good - bare
            values[f"copy_edit_return_{kind}"] = copied
        else:
            values[f"edit_away_{kind}"], values[f"copy_edit_away_{kind}"] = good, copied
    return Measured(values, {"dream": np.concatenate((before[None], painted[None], frames)),
                             "true": np.stack([run.first, *true])})  # fmt: skip


def measure_task(session: Session, run: Run) -> Measured:
    """A scripted task in closed loop: does it end in the world's state as it ends in truth?"""
    world: Any = session.world
    if not isinstance(session.world, KnowsPlace):
        return Measured({})
    state = session.start(run)
    first = state
    pose = np.asarray(world.pose(state), np.float64)
    origin = (math.floor(pose[0]), math.floor(pose[1] + NEAR_FLOOR), math.floor(pose[2]))
    heading = HEADINGS[round(float(pose[3]) / 90.0) % 4]
    before = world.frame(state)
    frames, last = session.play(state, run, tuple(range(1, feats.TICKS + 1)))
    task = feats.FEATS[feats.NAMES.index(run.task)]
    ended = task_ended(world, task, first, last, origin, heading, np.zeros(0), world.slot(last))
    right = float(ended == run.success)
    values = {
        "tasks_16": right,
        "tasks_16_done" if run.success else "tasks_16_not_done": right,
        f"task_{run.task}": right,
    }
    rows = [tick - 1 for tick in run.ticks]
    return Measured(values, _both(before, frames[rows], run, len(rows)))


def measure_nostate(session: Session, run: Run) -> Measured:
    """All cells unknown: frames and actions alone."""
    if not isinstance(session.world, StartsUnknown):
        return Measured({})
    state = session.world.start_unknown(run.clip(poses=False), run.seed)
    ticks = [tick for tick in run.ticks if tick <= HORIZONS[1]]
    frames, _ = session.play(state, run, ticks)
    values: Values = {}
    for frame, tick in zip(frames, ticks, strict=True):
        true = run.frames[run.index(tick)]
        values[f"nostate_psnr_{tick}"] = psnr(frame, true, session.visible)
        values[f"nostate_gain_{tick}"] = values[f"nostate_psnr_{tick}"] - psnr(run.first, true, session.visible)
    return Measured(values)


def measure_readouts(session: Session, run: Run) -> Measured:
    """Are the actions in the frames? A network that knows true pictures alone reads them back."""
    if session.readouts is None:
        return Measured({})
    from reverie.simulator.judge.reading import read_back

    state = session.start(run)
    first = session.world.frame(state)
    ticks = tuple(range(1, READ_TICKS + 1))
    frames, _ = session.play(state, run, ticks)
    values: Values = {}
    actions = run.actions[None, :READ_TICKS]
    for prefix, start, rest in (("_", first, frames), ("_true_", run.first, run.frames)):
        pictures = session.shown(np.concatenate((start[None], rest)))[None]
        scores = read_back(session.readouts, pictures, actions)
        values[f"{prefix}keys"] = scores.counts.sum(axis=(0, 1)).tolist()
        turned = scores.turned[0]
        values[f"{prefix}turned"] = turned[~np.isnan(turned)].tolist()
    return Measured(values)


def finish_readouts(rows: Sequence[Values]) -> dict[str, Interval]:
    """`action_f1`, over all keys of all runs, and `camera_deg`, the median over runs of the median error."""
    figures = {}
    for prefix in ("", "true_"):
        known = [row for row in rows if f"_{prefix}keys" in row]
        if not known:
            continue
        counts = np.array([row[f"_{prefix}keys"] for row in known])
        figures[f"{prefix}action_f1"] = metrics.bootstrap(
            counts, lambda drawn: drawn[:, 0].sum() / max(drawn[:, 1].sum(), 1.0)
        )
        errors = [np.median(row[f"_{prefix}turned"]) for row in known if row[f"_{prefix}turned"]]
        figures[f"{prefix}camera_deg"] = metrics.bootstrap(np.array(errors), lambda drawn: float(np.median(drawn)))
    return figures


def _ratio(value: float, wanted: float) -> float | None:
    return value / wanted if wanted > 0 else None


def _both(first: np.ndarray, frames: np.ndarray, run: Run, count: int) -> dict[str, np.ndarray]:
    """Dreamed and true frames beside each other, tick 0 first."""
    return {
        "dream": np.concatenate((np.asarray(first)[None], frames)),
        "true": np.concatenate((run.first[None], run.frames[:count])),
    }


def _turns_at(rate: float) -> Callable[[Limits], bool]:
    return lambda limits: rate >= limits.turn


def _stays_for(seconds: int) -> Callable[[Limits], bool]:
    return lambda limits: seconds <= limits.revisit


ALL = ("poses", "frames", "cells")
PARTS: tuple[Part, ...] = (
    Part("explorer", "explorer", measure_explorer, ALL),
    Part("walk", "walk", measure_walk, finish=finish_walks),
    Part("walls", "walls", measure_walls, ALL, finish=finish_walls),
    *(
        Part(f"turn{rate:g}", f"turn{rate:g}", measure_turn, wanted=_turns_at(rate))
        for rate in TURN_RATES
    ),
    *(
        Part(f"revisit{seconds}", f"revisit{seconds}", measure_revisit, wanted=_stays_for(seconds))
        for seconds in REVISIT_SECONDS
    ),
    Part("back", "back", measure_back),
    Part("idle", "idle", measure_idle),
    Part("seeds", "seeds", measure_seeds),
    *(Part(kind, kind, measure_door) for kind in ("door-stay", "door-turn3", "door-turn10", "door-walk")),
    Part("task", "task", measure_task, ("poses", "cells")),
    Part("nostate", "explorer", measure_nostate),
    Part("readouts", "played", measure_readouts),
)  # fmt: skip
