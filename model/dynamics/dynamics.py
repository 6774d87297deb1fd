"""One tick of the body, the hands and the entities of dreams."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import load_file, save_file

from reverie.model.cells import HEIGHT, Cell
from reverie.model.dynamics import features as f
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.chance import chance, choose
from reverie.model.dynamics.config import DynamicsConfig, Facts
from reverie.model.dynamics.runtime import Answers, ArrayNetworks
from reverie.model.dynamics.state import (
    NO_ENTITIES,
    Actors,
    Hands,
    count_body,
    count_break,
    count_herd,
    count_use,
    make_body,
    make_herd,
    read_only,
)
from reverie.model.dynamics.steps import (
    Aim,
    Grounds,
    aim_hands,
    attempt,
    carry,
    entity_boxes,
    feel,
    held_back,
    in_the_way,
    own_cells,
    player_boxes,
    put,
    see,
    to_frame,
    to_world,
    turn_head,
    unknown_under,
    within,
)
from reverie.model.errors import ReverieError

CONFIG, WEIGHTS = "dynamics.json", "dynamics.safetensors"
OF_HANDS = ("dig", "place")
"""Events that happen if and only if hands change a cell."""
HAND_STREAM, TOKEN_STREAM, TURN_STREAM, WALK_STREAM = 1, 2, 3, 4
"""Set the draws of one tick apart."""


class Cells(Protocol):
    """Where cells are read from: `model.cells.CellMap`, or anything like it."""

    def window(self, low: Cell, shape: Cell) -> np.ndarray:
        """uint8 [shape]: the cells from `low` on."""


@dataclass(frozen=True, slots=True)
class DynamicsStep:
    """What a tick brings: the actors after it, cells that change, names of events."""

    actors: Actors
    writes: Mapping[Cell, int]
    events: tuple[str, ...]


def _grounds(cells: Sequence[Cells], places: np.ndarray, low: Cell, shape: Cell) -> Grounds:
    """The cells about places float64 [n, 3]."""
    lows = own_cells(places) + np.array(low)
    found = np.empty((len(places), *shape), np.uint8)
    for i, (x, y, z) in enumerate(lows.tolist()):
        found[i] = cells[i].window((x, y, z), shape)
    return Grounds(found, lows)


def action_vector(action: Any) -> np.ndarray:
    """float32 [25] of an action: a vector, or anything with `to_vector`."""
    return np.asarray(action.to_vector() if hasattr(action, "to_vector") else action, np.float32)


class Dynamics:
    """Moves actors. Holds no state."""

    def __init__(self, facts: Facts, config: DynamicsConfig, networks: Answers) -> None:
        self.facts, self.config = facts, config
        self._networks = networks
        self._turns = f.turn_bins(config.turn_limit)

    @property
    def networks(self) -> Answers:
        """What answers for it."""
        return self._networks

    @classmethod
    def load(cls, folder: Path) -> Dynamics:
        """From a folder that `save_dynamics` wrote. Raises ReverieError."""
        try:
            data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            facts, config = Facts.from_dict(data["facts"]), DynamicsConfig.from_dict(data["networks"])
            networks = ArrayNetworks(load_file(folder / WEIGHTS), len(facts.names), len(facts.events))
        except Exception as error:
            raise ReverieError(f"{folder}: holds no readable dynamics ({error})") from error
        return cls(facts, config, networks)

    def spawn(
        self, place: tuple[float, float, float], yaw: float, pitch: float, entities: np.ndarray | None = None
    ) -> Actors:
        """Actors who stand at a place; `entities` float [m, 6]: x, y, z of the feet, yaw, kind, phase."""
        body = read_only(make_body(place, yaw, pitch, self.facts.eye, self.facts.fall))
        return Actors(body, Hands(), NO_ENTITIES if entities is None else make_herd(entities))

    def step(self, actors: Actors, cells: Cells, action: Any, seed: int, tick: int) -> DynamicsStep:
        """One tick of one dream. Chance is a function of `seed` and `tick`."""
        return self.step_many([actors], [cells], [action], [seed], [tick])[0]

    def step_many(
        self,
        actors: Sequence[Actors],
        cells: Sequence[Cells],
        actions: Sequence[Any],
        seeds: Sequence[int],
        ticks: Sequence[int],
    ) -> list[DynamicsStep]:
        """One tick of n dreams. Every dream comes out as it does by itself."""
        n = len(actors)
        body = np.stack([one.body for one in actors])
        inputs = f.read_actions(np.stack([action_vector(action) for action in actions]))
        turn_head(body, inputs.camera)
        owners = np.repeat(np.arange(n), [len(one.herd) for one in actors])
        herd = np.concatenate([one.herd for one in actors])
        grounds = _grounds(cells, body[:, :3], at.WINDOW_LOW, at.WINDOW_SHAPE)
        pastures = _grounds([cells[int(i)] for i in owners], herd[:, :3], at.ENTITY_LOW, at.ENTITY_SHAPE)

        hands, writes, hand_logits = self._work(actors, body, herd, owners, grounds, inputs, seeds, ticks)
        for i, changed in enumerate(writes):
            for cell, token in changed.items():
                put(grounds, i, cell, token)
                for k in np.flatnonzero(owners == i):
                    put(pastures, int(k), cell, token)
        places = body[:, :3].copy()
        events = self._move(body, herd, owners, grounds, inputs.keys, hand_logits)
        if len(herd):
            self._roam(herd, owners, places, pastures, seeds, ticks)
        named = [
            tuple(name for name, logit in zip(self.facts.events, row) if logit > 0 and name not in OF_HANDS)
            + _event_of(changed, one)
            for row, changed, one in zip(events, writes, hands)
        ]
        starts = np.searchsorted(owners, np.arange(n + 1))
        return [
            DynamicsStep(
                Actors(read_only(body[i].copy()), hands[i][0], read_only(herd[starts[i] : starts[i + 1]].copy())),
                writes[i],
                named[i],
            )
            for i in range(n)
        ]

    # -- hands ----------------------------------------------------------------------------------------------

    def _work(
        self,
        actors: Sequence[Actors],
        body: np.ndarray,
        herd: np.ndarray,
        owners: np.ndarray,
        grounds: Grounds,
        inputs: f.Inputs,
        seeds: Sequence[int],
        ticks: Sequence[int],
    ) -> tuple[list[tuple[Hands, str | None]], list[dict[Cell, int]], np.ndarray]:
        """Hands after the tick with what they did, cells that they change, and logits of events [n, v]."""
        n, nets = len(actors), self._networks
        aimed = aim_hands(self.facts, grounds, body)
        before = [one.hands for one in actors]
        slot = np.array([hands.slot for hands in before])
        break_age = np.array([hands.break_age for hands in before])
        use_age = np.array([hands.use_age for hands in before])
        progress = np.array([
            hands.progress if aimed.found[i] and hands.target == tuple(aimed.cell[i].tolist()) else 0.0
            for i, hands in enumerate(before)
        ])  # fmt: skip
        tokens = aimed.tokens
        slot = nets("slot", f.slot_numbers(slot, inputs, aimed.found), tokens[:, :1]).argmax(1)
        dig = f.read_dig(nets("dig", f.dig_numbers(inputs.hand_keys, aimed.found, progress, break_age), tokens[:, :1]))
        works = (dig.works > 0) & aimed.found
        progress = np.where(works, np.clip(progress + dig.rate, 0.0, 1.0), 0.0)
        beside = aimed.cell + aimed.normal
        way = in_the_way(self.facts, body, _by_owner(herd, owners, n), beside)
        numbers = f.act_numbers(
            inputs.hand_keys, aimed.found, aimed.normal, aimed.distance, self.facts.reach, way, works, progress,
            break_age, use_age, slot,
        )  # fmt: skip
        drawn = np.array([chance(seed, tick, HAND_STREAM, 0) for seed, tick in zip(seeds, ticks)])
        event = choose(nets("act", numbers, tokens), drawn)
        event = np.where(self._possible(aimed, event), event, at.NOTHING)
        answer = nets("write", f.write_numbers(event, slot), tokens[:, :1])
        count = len(self.facts.names)
        drawn = np.array([chance(seed, tick, TOKEN_STREAM, 0) for seed, tick in zip(seeds, ticks)])
        written = choose(answer[:, :count], drawn)
        swings = np.array([hands.swing for hands in before])
        swings = nets("swing", f.swing_numbers(inputs.hand_keys, event, swings)).argmax(1)

        after: list[tuple[Hands, str | None]] = []
        writes: list[dict[Cell, int]] = []
        for i, hands in enumerate(before):
            target = _cell(aimed.cell[i]) if works[i] and event[i] != at.DIG else None
            attack, use = bool(inputs.hand_keys[i, f.ATTACK]), bool(inputs.hand_keys[i, f.USE])
            changed: dict[Cell, int] = {}
            if event[i] == at.DIG:
                changed[_cell(aimed.cell[i])] = int(written[i])
            elif event[i] == at.PLACE:
                changed[_cell(beside[i])] = int(written[i])
            state = Hands(
                int(slot[i]), target, float(progress[i]) if target is not None else 0.0, int(swings[i]),
                count_break(hands.break_age, attack, bool(event[i] == at.DIG)),
                count_use(hands.use_age, use, bool(aimed.found[i]), bool(event[i] == at.PLACE)),
            )  # fmt: skip
            after.append((state, (None, *OF_HANDS)[int(event[i])]))
            writes.append(changed)
        return after, writes, answer[:, count:]

    def _possible(self, aimed: Aim, event: np.ndarray) -> np.ndarray:
        """bool [n]: whether there is a cell in the map for an event to change."""
        beside = aimed.cell[:, 1] + aimed.normal[:, 1]
        height = np.where(event == at.PLACE, beside, aimed.cell[:, 1])
        return aimed.found & (height >= 0) & (height < HEIGHT)

    # -- body -----------------------------------------------------------------------------------------------

    def _move(
        self,
        body: np.ndarray,
        herd: np.ndarray,
        owners: np.ndarray,
        grounds: Grounds,
        keys: np.ndarray,
        hand_logits: np.ndarray,
    ) -> np.ndarray:
        """Moves bodies [n, BODY] in place; gives logits of events [n, v]."""
        n, facts, nets = len(body), self.facts, self._networks
        boxes = player_boxes(facts, n)
        sin, cos = f.frames_of(body[:, at.YAW])
        velocity = to_frame(body[:, at.VX : at.VZ + 1], sin, cos)
        place = body[:, :3].copy()
        here = see(facts, grounds, place, boxes.half, at.BODY_LEVELS_FROM)
        near = f.near_entity(body, _by_owner(herd, owners, n), sin, cos)
        numbers = f.push_numbers(body, keys, here.fraction, near, velocity)
        push = f.read_push(nets("push", numbers, here.tokens), velocity, body[:, at.EYE])
        move = attempt(push, sin, cos)
        holds = np.asarray(push.held) > 0
        move = np.where(holds[:, None], held_back(facts, grounds, place, move), move)
        carried = carry(facts, grounds, place, move, boxes)
        moved = place + carried.moved
        there = place + np.stack([move[:, 0], carried.moved[:, 1], move[:, 2]], 1)
        after = see(facts, grounds, moved, boxes.half, at.BODY_LEVELS_FROM)
        beyond = see(facts, grounds, there, boxes.half, at.BODY_LEVELS_FROM)
        numbers = f.contact_numbers(body, keys, carried.hits, move, holds, after.fraction)
        contact = f.read_contact(nets("contact", numbers, np.concatenate([after.tokens, beyond.tokens], 1)))

        stood, swam = body[:, at.ON_GROUND] > 0, body[:, at.IN_WATER] > 0
        body[:, :3] = moved
        for axis, entry in ((0, at.VX), (2, at.VZ)):
            body[:, entry] = move[:, axis] * np.where(carried.hits[:, axis] != 0, contact.stopped, contact.free)
        body[:, at.VY] = move[:, 1] * contact.up + contact.added
        body[:, at.EYE] = np.clip(push.eye, 0.0, facts.height)
        body[:, at.ON_GROUND] = contact.on_ground > 0
        body[:, at.IN_WATER] = contact.in_water > 0
        body[:, at.BUMPED] = contact.bumped > 0
        count_body(body, keys[:, f.JUMP] > 0, stood, swam, carried.moved[:, 1] > 0)
        return contact.events + hand_logits

    # -- entities -------------------------------------------------------------------------------------------

    def _roam(
        self,
        herd: np.ndarray,
        owners: np.ndarray,
        places: np.ndarray,
        grounds: Grounds,
        seeds: Sequence[int],
        ticks: Sequence[int],
    ) -> None:
        """Moves entities [h, ENTITY] in place. Those in cells that nothing is known of stay as they are."""
        facts, nets, limit = self.facts, self._networks, self.config.turn_limit
        boxes = entity_boxes(facts, herd[:, at.E_KIND])
        place = herd[:, :3].copy()
        frozen = unknown_under(grounds, place)
        numbers_in_herd = np.arange(len(owners)) - np.searchsorted(owners, owners)
        draws = np.array([
            [chance(seeds[i], ticks[i], stream, int(k)) for stream in (TURN_STREAM, WALK_STREAM)]
            for i, k in zip(owners, numbers_in_herd)
        ])  # fmt: skip
        sin, cos = f.frames_of(herd[:, at.E_YAW])
        motion = to_frame(herd[:, at.E_DX : at.E_DZ + 1], sin, cos)
        felt = feel(facts, grounds, place, boxes, sin, cos)
        player = f.near_player(herd, places[owners], sin, cos)
        numbers = f.entity_numbers(
            herd, motion, herd[:, at.E_TURN], limit, felt.grounded, felt.blocked, felt.here.fraction, player
        )
        bins = choose(nets("turn", numbers, np.concatenate([felt.here.tokens, felt.ahead.tokens], 1)), draws[:, 0])
        turn = self._turns[bins]

        sin, cos = f.frames_of(herd[:, at.E_YAW] + turn)
        motion = to_frame(herd[:, at.E_DX : at.E_DZ + 1], sin, cos)
        felt = feel(facts, grounds, place, boxes, sin, cos)
        player = f.near_player(herd, places[owners], sin, cos)
        numbers = f.entity_numbers(
            herd, motion, turn, limit, felt.grounded, felt.blocked, felt.here.fraction, player
        )  # fmt: skip
        numbers = np.concatenate([numbers, f.one_hot(bins, at.TURN_BINS)], 1)
        walk = f.read_walk(nets("walk", numbers, np.concatenate([felt.here.tokens, felt.ahead.tokens], 1)), motion)
        mode, rows = choose(walk.modes, draws[:, 1]), np.arange(len(herd))
        move = to_world(walk.forward[rows, mode], walk.left, walk.up[rows, mode], sin, cos)
        move = within(move, at.ENTITY_REACH)
        moved = carry(facts, grounds, place, move, boxes).moved
        moved[frozen], turn = 0.0, np.where(frozen, 0.0, turn)
        herd[:, :3] += moved
        herd[:, at.E_YAW] += turn
        herd[:, at.E_PHASE] += self.config.stride * np.hypot(moved[:, 0], moved[:, 2])
        count_herd(herd, moved, turn)


def _cell(values: np.ndarray) -> Cell:
    x, y, z = values.tolist()
    return x, y, z


def _event_of(changed: Mapping[Cell, int], hands: tuple[Hands, str | None]) -> tuple[str, ...]:
    return (hands[1],) if changed and hands[1] is not None else ()


def _by_owner(herd: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """float64 [n, m, 6]: the entities of each dream, NaN where it has fewer than others."""
    counts = np.bincount(owners, minlength=n) if len(owners) else np.zeros(n, np.intp)
    found = np.full((n, int(counts.max(initial=0)), 6), np.nan)
    if len(owners):
        found[owners, np.arange(len(owners)) - np.searchsorted(owners, owners)] = herd[:, :6]
    return found


def save_dynamics(folder: Path, facts: Facts, config: DynamicsConfig, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes what `Dynamics.load` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / (WEIGHTS + ".part")
    save_file(dict(arrays), part)
    part.replace(folder / WEIGHTS)
    data = {"facts": facts.to_dict(), "networks": config.to_dict()}
    (folder / CONFIG).write_text(json.dumps(data, indent=1), encoding="utf-8")


__all__ = ["Actors", "Dynamics", "DynamicsStep", "save_dynamics"]
