"""Dynamics in closed loop in true cells: how far bodies, hands and entities stray from what truly happens.

A walk is a start in a held-out world (cells, body, slot, entities), the actions of a player who sees the true world,
and what they truly led to. Dynamics play the same actions from the same start, in cells that they change themselves.
Letters: n walks, t ticks, m entities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reverie.model.cells import Cell, CellMap
from reverie.model.dynamics.config import Facts
from reverie.model.dynamics.dynamics import Dynamics
from reverie.model.dynamics.layout import BODY, DRY_TICKS, E_YAW, JUMP_AGE, MAX_JUMP_AGE, MAX_TICKS
from reverie.model.dynamics.state import Actors, Hands, count_herd, make_herd, read_only
from reverie.model.training.walk_data import RECORDED_BODY
from reverie.simulator.action import Action
from reverie.simulator.evaluation.parts import held_up, is_inside
from reverie.simulator.mind import Mind
from reverie.simulator.players import ScriptedPlayer
from reverie.simulator.voxel import physics
from reverie.simulator.voxel.blocks import BLOCKS, SIZE_X, SIZE_Z
from reverie.simulator.voxel.creatures import CX, CY, CYAW, CZ, KIND, PHASE
from reverie.simulator.voxel.laws import USUAL, Laws
from reverie.simulator.voxel.walks import begin, builder, labourer, lifted, miner, swimmer
from reverie.simulator.voxel.world import HELD_OUT_SEED, VoxelState, VoxelWorld
from reverie.simulator.world import EVENTS

FIRST_SEED = HELD_OUT_SEED + 320_000
TICKS = 80
HORIZONS = (8, 32, 80)
WALKS = {"ahead": 24, "played": 24, "works": 48, "swims": 16, "falls": 24, "herds": 24}
"""Kinds of walks, and how many there are of each; the first two are the 48 walks of `walls_*` and `body_error_*`."""
WATCHED = 160
"""Ticks before a walk of the kind "herds", in which it is seen what entities do; other walks start unseen."""
THROUGH = 12
"""Walks against a wall of one kind of block."""
WALL_AHEAD, WALL_SIDES, WALL_HEIGHT = 3, (-3, 4), 4
REACH = 64
"""Metres about the start within which cells are known."""
ENTITY_REACH = 40.0
"""Metres within which entities are followed."""
SOON = 2
"""Ticks within which an event counts as that of the truth."""
TELEPORT = 2.0
"""Metres a tick beyond which an entity has been put elsewhere."""
MOVES = 0.01
"""Metres a tick from which an entity counts as moving."""
FALL_HEIGHTS = (4.0, 24.0)
STREAM = 79


@dataclass(frozen=True, slots=True, eq=False)
class TrueWalk:
    """What truly happens after a start."""

    kind: str
    cells: CellMap
    actors: Actors
    actions: tuple[Action, ...]
    bodies: np.ndarray
    """float64 [t + 1, len(RECORDED_BODY)]"""
    events: np.ndarray
    """bool [t, len(EVENTS)]: what the action of each tick led to."""
    changes: tuple[tuple[int, Cell, str], ...]
    """(tick, cell, "dig" or "place")."""
    entities: np.ndarray
    """float64 [t + 1, m, 6], NaN from where one is put elsewhere."""


def make_walks(kind: str, count: int, facts: Facts, laws: Laws = USUAL, block: str = "") -> list[TrueWalk]:
    """`count` walks of a kind in held-out worlds; `block` is what the walls of the kind "through" are made of."""
    world = VoxelWorld(hud=False, laws=laws)
    return [_make_walk(world, kind, number, facts, block) for number in range(count)]


def _make_walk(world: VoxelWorld, kind: str, number: int, facts: Facts, block: str) -> TrueWalk:
    order = (*WALKS, "through").index(kind)
    rng = np.random.default_rng([STREAM, order, number])
    seed = FIRST_SEED + 100 * order + number // 2
    state, act = _STARTS[kind](world, seed, number, rng)
    if kind == "through":
        state = _walled(world, state, block)
    before = [state]
    for _ in range(WATCHED if kind == "herds" else 0):
        state = world.step(state, act(state))
        before.append(state)
    start = state
    bodies, events, entities = [_body(state)], [], [_entities(state, start)]
    actions: list[Action] = []
    changes: list[tuple[int, Cell, str]] = []
    for tick in range(TICKS):
        action = act(state)
        after = world.step(state, action)
        changes += [(tick, cell, name) for cell, name in _changes(state, after)]
        state = after
        actions.append(action)
        bodies.append(_body(state))
        events.append(state.happened > 0)
        entities.append(_entities(state, start))
    followed = np.stack(entities)
    jumps = (np.abs(np.diff(followed[..., :3], axis=0)) > TELEPORT).any(2)
    gone = np.concatenate([np.zeros((1, followed.shape[1]), bool), np.logical_or.accumulate(jumps, 0)])
    followed[gone] = np.nan
    return TrueWalk(
        kind, _cells(start, facts), _actors(start, _seen(before)), tuple(actions), np.stack(bodies), np.stack(events),
        tuple(changes), followed,
    )  # fmt: skip


Act = Callable[[VoxelState], Action]


def _ahead(world: VoxelWorld, seed: int, number: int, rng: np.random.Generator) -> tuple[VoxelState, Act]:
    """Straight ahead for the whole time, from anywhere."""
    state, _ = begin(world, seed, False, rng)
    return state, lambda now: Action(forward=True)


def _played(world: VoxelWorld, seed: int, number: int, rng: np.random.Generator) -> tuple[VoxelState, Act]:
    state, player = begin(world, seed, False, rng)
    return state, lambda now: player.act(world.senses(now))


def _scripted(*scripts: Callable[[Mind], Iterator[Action]]) -> Callable[..., tuple[VoxelState, Act]]:
    def start(world: VoxelWorld, seed: int, number: int, rng: np.random.Generator) -> tuple[VoxelState, Act]:
        state, _ = begin(world, seed, True, rng, scripts[number % len(scripts)])
        player = ScriptedPlayer(scripts[number % len(scripts)], int(rng.integers(2**31)))
        return state, lambda now: player.act(world.senses(now))

    return start


def _falls(world: VoxelWorld, seed: int, number: int, rng: np.random.Generator) -> tuple[VoxelState, Act]:
    """From some metres above the ground, with keys held or none."""
    state, _ = begin(world, seed, False, rng)
    held = (Action(), Action(forward=True), Action(back=True), Action(left=True, sprint=True))[number % 4]
    return lifted(world, state, float(rng.uniform(*FALL_HEIGHTS))), lambda now: held


def _through(world: VoxelWorld, seed: int, number: int, rng: np.random.Generator) -> tuple[VoxelState, Act]:
    state, _ = begin(world, seed, False, rng)
    x, y, z, _, pitch = (float(value) for value in world.pose(state))
    state = world.spawn(state, math.floor(x) + 0.5, math.ceil(y), math.floor(z) + 0.5, 90.0 * (number % 4), pitch)
    return state, lambda now: Action(forward=True)


_STARTS: dict[str, Callable[..., tuple[VoxelState, Act]]] = {
    "ahead": _ahead,
    "played": _played,
    "works": _scripted(labourer, miner, builder),
    "swims": _scripted(swimmer),
    "falls": _falls,
    "herds": _played,
    "through": _through,
}


def _walled(world: VoxelWorld, state: VoxelState, block: str) -> VoxelState:
    """The state with even ground ahead and a wall across the way."""
    x, y, z = (math.floor(value) for value in world.pose(state)[:3])
    dx, dz = ((0, 1), (-1, 0), (0, -1), (1, 0))[round(float(state.body[physics.YAW]) / 90.0) % 4]
    blocks: dict[Cell, str] = {}
    for ahead in range(-1, 14):
        for side in range(*WALL_SIDES):
            cx, cz = x + dx * ahead - dz * side, z + dz * ahead + dx * side
            blocks |= {(cx, y + up, cz): "air" for up in range(WALL_HEIGHT + 2)}
            blocks[cx, y - 1, cz] = "stone"
            if ahead == WALL_AHEAD:
                blocks |= {(cx, y + up, cz): block for up in range(WALL_HEIGHT)}
    return world.set_blocks(state, blocks)


def _body(state: VoxelState) -> np.ndarray:
    return state.body[[getattr(physics, name) for name in RECORDED_BODY]].copy()


def _entities(state: VoxelState, start: VoxelState) -> np.ndarray:
    """float64 [m, 6]: those that were about the player at the start, at the copy on the torus nearest to it."""
    found = state.creatures[:, [CX, CY, CZ, CYAW, KIND, PHASE]].copy()
    near = np.ones(len(found), bool)
    for column, entry, side in ((0, physics.X, SIZE_X), (2, physics.Z, SIZE_Z)):
        found[:, column] += np.rint((start.body[entry] - found[:, column]) / side) * side
        near &= np.abs(start.creatures[:, (CX, CY, CZ)[column]] - start.body[entry]) < ENTITY_REACH
    return found[near & (start.creatures[:, CY] > 0)]


def _cells(state: VoxelState, facts: Facts) -> CellMap:
    tokens = np.array([facts.names.index(block.name) for block in BLOCKS], np.uint8)
    low = math.floor(state.body[physics.X]) - REACH, 0, math.floor(state.body[physics.Z]) - REACH
    xs, zs = np.arange(low[0], low[0] + 2 * REACH) % SIZE_X, np.arange(low[2], low[2] + 2 * REACH) % SIZE_Z
    return CellMap().write(low, tokens[state.blocks[xs][:, :, zs]])


def _actors(state: VoxelState, herd: np.ndarray) -> Actors:
    """The actors of a start; of what the body did before it nothing is known."""
    body = np.zeros(BODY)
    body[: len(RECORDED_BODY)] = _body(state)
    body[JUMP_AGE], body[DRY_TICKS] = MAX_JUMP_AGE, MAX_TICKS
    return Actors(read_only(body), Hands(slot=state.hands.slot), read_only(herd))


def _seen(states: Sequence[VoxelState]) -> np.ndarray:
    """float64 [m, ENTITY]: the entities of the last of some states, with what is known of them from those before."""
    tracks = [_entities(state, states[-1]) for state in states]
    herd = make_herd(tracks[0]).copy()
    for track in tracks[1:]:
        motion, turn = track[:, :3] - herd[:, :3], track[:, 3] - herd[:, E_YAW]
        count_herd(herd, np.where(np.abs(motion) < TELEPORT, motion, 0.0), turn)
        herd[:, :6] = track
    return herd


def _changes(before: VoxelState, after: VoxelState) -> list[tuple[Cell, str]]:
    """What hands did to cells, at the copy on the torus that is nearest to the body."""
    happened = after.happened
    names = [name for name in ("dig", "place") if happened[EVENTS.index(name)]]
    if not names:
        return []
    places = np.argwhere(before.blocks != after.blocks)
    found: list[tuple[Cell, str]] = []
    for x, y, z in places.tolist():
        x += round((float(after.body[physics.X]) - x) / SIZE_X) * SIZE_X
        z += round((float(after.body[physics.Z]) - z) / SIZE_Z) * SIZE_Z
        found.append(((x, y, z), names[0]))
    return found


# -- playing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class PlayedWalk:
    """What dynamics make of a walk, as `TrueWalk` has it."""

    bodies: np.ndarray
    events: tuple[tuple[str, ...], ...]
    changes: tuple[tuple[int, Cell, str], ...]
    entities: np.ndarray
    inside: int
    """Ticks with the body inside of solid cells."""


def play_walks(dynamics: Dynamics, walks: Sequence[TrueWalk], laws: Laws = USUAL, seed: int = 0) -> list[PlayedWalk]:
    """The actions of walks, played from their starts."""
    n = len(walks)
    actors, cells = [walk.actors for walk in walks], [walk.cells for walk in walks]
    bodies = [[one.body] for one in actors]
    entities = [[one.herd[:, :6]] for one in actors]
    events: list[list[tuple[str, ...]]] = [[] for _ in walks]
    changes: list[list[tuple[int, Cell, str]]] = [[] for _ in walks]
    inside = np.zeros(n, np.int64)
    for tick in range(TICKS):
        actions = [walk.actions[tick] for walk in walks]
        steps = dynamics.step_many(actors, cells, actions, [seed + i for i in range(n)], [tick] * n)
        actors = [step.actors for step in steps]
        for i, step in enumerate(steps):
            if step.writes:
                cells[i] = cells[i].set(step.writes)
            bodies[i].append(step.actors.body)
            entities[i].append(step.actors.herd[:, :6])
            events[i].append(step.events)
            names = [name for name in step.events if name in ("dig", "place")]
            changes[i] += [(tick, cell, names[0] if names else "") for cell in step.writes]
            inside[i] += is_inside(named(cells[i], dynamics.facts), step.actors.body, laws.solid)
    return [
        PlayedWalk(
            np.stack(bodies[i]), tuple(events[i]), tuple(changes[i]), np.stack(entities[i]), int(inside[i])
        )
        for i in range(n)
    ]  # fmt: skip


def named(cells: CellMap, facts: Facts) -> Callable[[int, int, int], str]:
    """Names of the tokens at cells."""
    names = dict(enumerate(facts.names))
    return lambda x, y, z: names.get(cells.get(x, y, z), "unknown")


# -- figures ------------------------------------------------------------------------------------------------


def dynamics_figures(
    dynamics: Dynamics, laws: Laws = USUAL, share: float = 1.0, block: str = "bricks"
) -> dict[str, float]:
    """All figures of dynamics against the voxel world under some laws; `share` of the walks of each kind.

    `block` is what the walls are made of whose walkers are compared.
    """
    counts = {kind: max(round(count * share), 1) for kind, count in {**WALKS, "through": THROUGH}.items()}
    true = {kind: make_walks(kind, count, dynamics.facts, laws, block) for kind, count in counts.items()}
    walks = [walk for found in true.values() for walk in found]
    played = play_walks(dynamics, walks, laws)
    pairs: dict[str, list[tuple[TrueWalk, PlayedWalk]]] = {kind: [] for kind in true}
    for walk, own in zip(walks, played):
        pairs[walk.kind].append((walk, own))
    walls = pairs["ahead"] + pairs["played"]
    everything = [pair for found in pairs.values() for pair in found]
    figures = body_figures(walls)
    figures["all_inside"] = float(sum(own.inside for _, own in everything))
    for kind, found in pairs.items():
        figures |= {f"{kind}_error_{tick}": value for tick, value in _errors(found).items()}
    figures |= hand_figures(everything)
    figures |= fall_figures(pairs["falls"])
    figures |= swim_figures(pairs["swims"])
    figures |= through_figures(pairs["through"])
    figures |= entity_figures(pairs["herds"])
    return {name: round(float(value), 4) for name, value in figures.items()}


Pairs = Sequence[tuple[TrueWalk, PlayedWalk]]


def _errors(pairs: Pairs) -> dict[int, float]:
    """Median distance of bodies from the true place."""
    return {
        tick: float(np.median([np.linalg.norm(own.bodies[tick, :3] - walk.bodies[tick, :3]) for walk, own in pairs]))
        for tick in HORIZONS
    }


def body_figures(pairs: Pairs) -> dict[str, float]:
    """`walls_*` and `body_error_*`, with the shares of the truth."""
    keys = [np.stack([action.to_vector() for action in walk.actions]) for walk, _ in pairs]
    true = sum(int(held_up(walk.bodies, held).sum()) for (walk, _), held in zip(pairs, keys))
    own = sum(int(held_up(mine.bodies, held).sum()) for (_, mine), held in zip(pairs, keys))
    figures = {
        "walls_standing": own / true if true else math.nan,
        "walls_true_share": true / (len(pairs) * TICKS),
        "walls_inside": float(sum(mine.inside for _, mine in pairs)),
    }
    return figures | {f"body_error_{tick}": value for tick, value in _errors(pairs).items()}


def hand_figures(pairs: Pairs) -> dict[str, float]:
    """Digs and places of the truth that happen in the same cell within SOON ticks, and those that are false."""
    figures: dict[str, float] = {}
    for name in ("dig", "place"):
        found = late = total = false = 0
        delays: list[int] = []
        for walk, own in pairs:
            mine = [(tick, cell) for tick, cell, event in own.changes if event == name]
            free = set(range(len(mine)))
            for tick, cell, event in walk.changes:
                if event != name:
                    continue
                total += 1
                same = [k for k in free if mine[k][1] == cell]
                if not same:
                    continue
                best = min(same, key=lambda k: abs(mine[k][0] - tick))
                free.discard(best)
                delays.append(mine[best][0] - tick)
                found += abs(delays[-1]) <= SOON
                late += abs(delays[-1]) > SOON
            false += len(free)
        figures |= {
            f"{name}s_true": float(total),
            f"{name}s_found": found / total if total else math.nan,
            f"{name}s_late": late / total if total else math.nan,
            f"{name}s_false": false / total if total else math.nan,
            f"{name}_delay": float(np.median(np.abs(delays))) if delays else math.nan,
        }
    return figures


def landing(bodies: np.ndarray) -> int:
    """The first tick at which a body [t + 1, ...] that was in the air stands or swims; t + 1 if it never does."""
    rests = (bodies[:, RECORDED_BODY.index("ON_GROUND")] > 0) | (bodies[:, RECORDED_BODY.index("IN_WATER")] > 0)
    later = np.flatnonzero(rests[1:])
    return int(later[0]) + 1 if len(later) else len(bodies)


def fall_figures(pairs: Pairs) -> dict[str, float]:
    """How long falls last, in ticks, and whether their end is told."""
    true, own = (np.array([landing(side.bodies) for side in sides]) for sides in zip(*pairs))
    land = EVENTS.index("land")
    told = [(bool(walk.events[:, land].any()), any("land" in events for events in mine.events)) for walk, mine in pairs]
    return {
        "fall_ticks": float(np.median(true)),
        "fall_error": float(np.median(np.abs(own - true))),
        "fall_worst": float(np.abs(own - true).max()),
        "falls_within_2": float((np.abs(own - true) <= SOON).mean()),
        "falls_told": float(np.mean([a == b for a, b in told])),
    }


def swim_figures(pairs: Pairs) -> dict[str, float]:
    """Ticks in water over the truth's, and the mean difference of height while both swim."""
    column = RECORDED_BODY.index("IN_WATER")
    true = np.concatenate([walk.bodies[1:, column] for walk, _ in pairs]) > 0
    own = np.concatenate([mine.bodies[1:, column] for _, mine in pairs]) > 0
    heights = np.concatenate([mine.bodies[1:, 1] - walk.bodies[1:, 1] for walk, mine in pairs])
    both = true & own
    return {
        "swim_ticks_true": float(true.sum()),
        "swim_share": float(own.sum() / true.sum()) if true.any() else math.nan,
        "swim_agree": float((true == own).mean()),
        "swim_height_error": float(np.abs(heights[both]).mean()) if both.any() else math.nan,
    }


def through_figures(pairs: Pairs) -> dict[str, float]:
    """Share of walkers against a wall who get past it, and how many end on the side they truly end on."""

    def past(bodies: np.ndarray) -> bool:
        return bool(np.hypot(*(bodies[-1, [0, 2]] - bodies[0, [0, 2]])) > WALL_AHEAD + 1)

    true, own = (np.array([past(side.bodies) for side in sides]) for sides in zip(*pairs))
    return {
        "through_true": float(true.mean()), "through_own": float(own.mean()),
        "through_right": float((true == own).mean()),
    }  # fmt: skip


class Roamed(NamedTuple):
    """Metres between start and end of each entity [m], metres and degrees of each tick [k]."""

    far: np.ndarray
    steps: np.ndarray
    turns: np.ndarray


def _roamed(tracks: Sequence[np.ndarray]) -> Roamed:
    """Of tracks float64 [t + 1, m, 6]."""
    ends = np.concatenate([track[-1] - track[0] for track in tracks])
    motion = np.concatenate([np.diff(track, axis=0).reshape(-1, 6) for track in tracks])
    return Roamed(
        np.sort(np.round(np.hypot(ends[:, 0], ends[:, 2]), 1)), np.hypot(motion[:, 0], motion[:, 2]),
        np.abs(motion[:, 3]),
    )  # fmt: skip


def entity_figures(pairs: Pairs) -> dict[str, float]:
    """How far entities get in the time of a walk, and how they move, beside the truth's."""
    there = [np.isfinite(walk.entities[:, :, 0]).all(0) for walk, _ in pairs]
    true = _roamed([walk.entities[:, known] for (walk, _), known in zip(pairs, there)])
    own = _roamed([mine.entities[:, known] for (_, mine), known in zip(pairs, there)])
    grid = np.concatenate([true.far, own.far])
    shares = [np.searchsorted(far, grid, side="right") / len(far) for far in (true.far, own.far)]
    figures = {"entities": float(len(true.far)), "entity_far_ks": float(np.abs(shares[0] - shares[1]).max())}
    for name, side in (("entity", own), ("entity_true", true)):
        moving = side.steps > MOVES
        figures |= {f"{name}_far_{q}": float(np.quantile(side.far, q / 100)) for q in (25, 50, 75, 95)}
        figures[f"{name}_moving"] = float(moving.mean())
        figures[f"{name}_speed"] = float(side.steps[moving].mean()) if moving.any() else 0.0
        figures[f"{name}_turning"] = float(side.turns.mean())
    return figures
