"""Trains body, hands and entities from recorded walks; see `train`.

Every network is trained on what the step at play would give it: the same features and the same geometry, on recorded
states. A tenth of the rows has noise on the tokens of cells, which other parts of a model supply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.model.dynamics import features as f
from reverie.model.dynamics import layout as at
from reverie.model.dynamics.config import DynamicsConfig, Facts
from reverie.model.dynamics.dynamics import OF_HANDS, save_dynamics
from reverie.model.dynamics.networks import DynamicsNetworks
from reverie.model.dynamics.state import count_body, count_break, count_herd, count_use
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
    turn_head,
)
from reverie.model.errors import ReverieError
from reverie.model.training.trainer import TrainerConfig, train_part
from reverie.model.training.walk_data import (
    LOCAL_ENTITIES,
    RECORDED_BODY,
    Walks,
    find_facts,
    read_walks,
    walk_files,
)

BATCH = 512
"""Rows of each kind in a step."""
RARE_SHARE = 0.4
"""Share of a batch of bodies that is about rare events."""
BUSY_SHARE = 0.6
"""Share of a batch of hands in which a key of theirs is down."""
NOISY_SHARE, NOISE = 0.1, 0.1
"""Share of rows with noise, and the share of their cells that are another token."""
METRES = 0.01
"""Metres a tick that an error of 1 stands for."""
TOUCH = 1e-4
"""Metres within which a box counts as touching a cell."""
MARGIN = 0.02
"""Metres a tick by which a motion that was stopped would have gone on, at least."""
PROGRESS_UNIT = 0.005
PROGRESS_NOISE = 0.003
TELEPORT = 2.0
"""Metres a tick beyond which an entity has not walked."""
SMALLEST_SPREAD = -6.0
"""Logarithm of metres."""
HELD_SHARDS = 1
"""Shards at the end that are measured on, if there are more."""
CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Herd:
    """Entities of recorded rows: which row int [h], their state float64 [h, ENTITY], cells uint8, and what they did:
    motion float64 [h, 3] and turn [h]."""

    row: np.ndarray
    state: np.ndarray
    cells: np.ndarray
    motion: np.ndarray
    turn: np.ndarray


class Lessons:
    """Recorded walks made ready: counters, aims and changes of every row."""

    def __init__(self, walks: Walks, facts: Facts) -> None:
        self.walks, self.facts = walks, facts
        n = len(walks)
        self.usable = np.flatnonzero(walks.follows)
        self.after = np.minimum(np.arange(n) + 1, n - 1)
        self.inputs = f.read_actions(walks.action)
        names = list(walks.event_names)
        happened = walks.events[self.after] > 0
        self.event = np.where(happened[:, names.index("dig")], at.DIG, at.NOTHING)
        self.event = np.where(happened[:, names.index("place")], at.PLACE, self.event)
        self.happened = happened.astype(np.float32)
        self.body = np.zeros((n, at.BODY))
        self.body[:, : len(RECORDED_BODY)] = walks.body
        self.turned = self.body.copy()
        turn_head(self.turned, self.inputs.camera)
        self.aim = self._aims()
        self.break_age, self.use_age = np.full(n, at.MAX_BREAK_AGE), np.full(n, at.MAX_USE_AGE)
        self._count()
        self.turned[:, at.JUMP_AGE :] = self.body[:, at.JUMP_AGE :]
        moved = walks.body[self.after, :3] - walks.body[:, :3]
        self.motion = moved
        cell = self.aim.cell + np.where((self.event == at.PLACE)[:, None], self.aim.normal, 0)
        self.written = np.zeros(n, np.uint8)
        for i in np.flatnonzero((self.event != at.NOTHING) & walks.follows):
            x, y, z = cell[i] - own_cells(walks.body[i + 1 : i + 2, :3])[0] - np.array(at.WINDOW_LOW)
            self.written[i] = walks.cells[i + 1, x, y, z]
        self.changed = cell
        flags = walks.body[:, at.ON_GROUND], walks.body[:, at.IN_WATER], walks.body[:, at.BUMPED]
        rare = (flags[0] == 0) | (flags[1] > 0) | (flags[2] > 0) | (self.inputs.keys[:, [f.JUMP, f.SNEAK]].any(1))
        self.rare = np.flatnonzero(walks.follows & (rare | happened.any(1) | walks.rare))
        self.busy = np.flatnonzero(walks.follows & (self.inputs.hand_keys.any(1) | self.inputs.hotbar.any(1)))
        self.acted = np.flatnonzero(walks.follows & (self.event != at.NOTHING))
        self.herd = self._herd()

    def grounds(self, rows: np.ndarray, changed: bool) -> Grounds:
        """The cells about bodies of some rows; `changed`: after what the hands did in the tick."""
        low = own_cells(self.walks.body[rows, :3]) + np.array(at.WINDOW_LOW)
        grounds = Grounds(self.walks.cells[rows], low)
        if changed:
            for k in np.flatnonzero(self.event[rows] != at.NOTHING):
                x, y, z = self.changed[rows[k]].tolist()
                put(grounds, int(k), (x, y, z), int(self.written[rows[k]]))
        return grounds

    def _aims(self) -> Aim:
        parts = []
        for start in range(0, len(self.walks), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(self.walks)))
            parts.append(aim_hands(self.facts, self.grounds(rows, False), self.turned[rows]))
        return Aim(*(np.concatenate(columns) for columns in zip(*parts)))

    def _count(self) -> None:
        """Counters of bodies and hands, as a dream would have them."""
        walks, body = self.walks, self.body
        firsts = np.flatnonzero(np.concatenate([[True], ~walks.follows[:-1]]))
        body[firsts, at.JUMP_AGE], body[firsts, at.DRY_TICKS] = at.MAX_JUMP_AGE, at.MAX_TICKS
        rows = firsts[walks.follows[firsts]]
        while len(rows):
            now, then = body[rows], rows + 1
            following = body[then].copy()
            following[:, at.JUMP_AGE :] = now[:, at.JUMP_AGE :]
            jump = self.inputs.keys[rows, f.JUMP] > 0
            risen = following[:, at.Y] > now[:, at.Y]
            count_body(following, jump, now[:, at.ON_GROUND] > 0, now[:, at.IN_WATER] > 0, risen)
            body[then] = following
            for i in rows.tolist():
                attack, use = self.inputs.hand_keys[i, f.ATTACK] > 0, self.inputs.hand_keys[i, f.USE] > 0
                event = self.event[i]
                self.break_age[i + 1] = count_break(int(self.break_age[i]), bool(attack), bool(event == at.DIG))
                found = bool(self.aim.found[i])
                self.use_age[i + 1] = count_use(int(self.use_age[i]), bool(use), found, bool(event == at.PLACE))
            rows = then[walks.follows[then]]

    def _herd(self) -> Herd:
        walks, k = self.walks, LOCAL_ENTITIES
        known = np.isfinite(walks.entities[:, :k, 0])
        state = np.zeros((len(walks), k, at.ENTITY))
        state[..., :6] = np.nan_to_num(walks.entities[:, :k])
        motion = np.nan_to_num(walks.entities[self.after, :k, :3] - walks.entities[:, :k, :3], nan=np.inf)
        turn = np.nan_to_num(walks.entities[self.after, :k, 3] - walks.entities[:, :k, 3])
        walked = known & known[self.after] & (np.abs(motion) < TELEPORT).all(2) & walks.follows[:, None]
        motion = np.where(walked[..., None], motion, 0.0)
        state[..., at.E_WALK_AGE] = state[..., at.E_TURN_AGE] = at.MAX_AGE
        firsts = np.flatnonzero(np.concatenate([[True], ~walks.follows[:-1]]))
        rows = firsts[walks.follows[firsts]]
        while len(rows):
            then = rows + 1
            flat = state[rows].reshape(-1, at.ENTITY)
            count_herd(flat, motion[rows].reshape(-1, 3), turn[rows].reshape(-1))
            flat[:, :6] = state[then, :, :6].reshape(-1, 6)
            state[then] = flat.reshape(-1, k, at.ENTITY)
            rows = then[walks.follows[then]]
        ready = walked.copy()
        ready[firsts] = False  # what they did before is not known
        row, number = np.nonzero(ready)
        return Herd(row, state[row, number], walks.entity_cells[row, number], motion[row, number], turn[row, number])


def find_strides(herd: Herd, walks: Walks) -> tuple[float, float]:
    """Degrees a tick that entities turn at most, and radians of their walk in a metre."""
    limit = float(np.quantile(np.abs(herd.turn), 0.999)) if len(herd.turn) else 0.0
    entities = walks.entities[:, :LOCAL_ENTITIES]
    after = np.minimum(np.arange(len(walks)) + 1, len(walks) - 1)
    phase = (entities[after, :, 5] - entities[..., 5])[walks.follows]
    motion = entities[after, :, :3] - entities[..., :3]
    metres = np.hypot(motion[..., 0], motion[..., 2])[walks.follows]
    moving = np.isfinite(metres) & (metres > at.MOVING) & (metres < TELEPORT)
    return limit or 8.0, float(np.median(phase[moving] / metres[moving])) if moving.any() else 3.0


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _loss(error: Tensor) -> Tensor:
    """Quadratic where small, then linear: what a state does not explain weighs little."""
    return F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")


class DynamicsPart:
    """What the trainer needs to know of dynamics."""

    def __init__(self, train: Lessons, held: Lessons, config: DynamicsConfig, seed: int = 0) -> None:
        self.train, self.held = train, held
        torch.manual_seed(seed)
        self.network: nn.Module = DynamicsNetworks(train.facts, config)
        self.config = config
        self.batch = BATCH

    def groups(self) -> list[dict[str, Any]]:
        """Tables of tokens learn faster and do not shrink."""
        tables = [p for name, p in self.network.named_parameters() if name in ("cells", "targets", "spread")]
        others = [p for name, p in self.network.named_parameters() if name not in ("cells", "targets", "spread")]
        return [{"params": others}, {"params": tables, "lr_scale": 3.0, "weight_decay": 0.0}]

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one fresh batch."""
        losses = self._losses(self.train, rng, True)
        total = torch.stack(list(losses.values())).sum()
        return total, {name: float(value.detach()) for name, value in losses.items()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """The losses on held-out rows."""
        rng = np.random.default_rng(0)
        with torch.no_grad():
            runs = [self._losses(self.held, rng, False) for _ in range(8)]
        return {f"held_{name}": float(np.mean([float(run[name]) for run in runs])) for name in runs[0]}

    # -- batches --------------------------------------------------------------------------------------------

    def _losses(self, lessons: Lessons, rng: np.random.Generator, noisy: bool) -> dict[str, Tensor]:
        count = self.batch
        some = int(count * RARE_SHARE)
        body = np.concatenate([_drawn(lessons.rare, some, rng), _drawn(lessons.usable, count - some, rng)])
        busy = int(count * BUSY_SHARE)
        hands = [_drawn(lessons.busy, busy - busy // 4, rng), _drawn(lessons.acted, busy // 4, rng)]
        hands.append(_drawn(lessons.usable, count - busy, rng))
        losses = self._body_losses(lessons, body, rng, noisy)
        losses |= self._hand_losses(lessons, np.concatenate(hands), rng, noisy)
        if len(lessons.herd.row):
            losses |= self._herd_losses(lessons, rng.integers(0, len(lessons.herd.row), count), rng, noisy)
        return losses

    def _tokens(self, tokens: np.ndarray, rng: np.random.Generator, noisy: bool) -> Tensor:
        if noisy:
            chosen = (rng.random(len(tokens)) < NOISY_SHARE).reshape(-1, *[1] * (tokens.ndim - 1))
            chosen = chosen & (rng.random(tokens.shape) < NOISE)
            other = rng.integers(0, len(self.train.facts.names), tokens.shape)
            tokens = np.where(chosen, other, tokens)
        return torch.from_numpy(tokens.astype(np.int64))

    def _body_losses(
        self, lessons: Lessons, rows: np.ndarray, rng: np.random.Generator, noisy: bool
    ) -> dict[str, Tensor]:
        facts, n = lessons.facts, len(rows)
        body, keys = lessons.turned[rows], lessons.inputs.keys[rows]
        following, done = lessons.body[lessons.after[rows]], lessons.motion[rows]
        grounds = lessons.grounds(rows, True)
        boxes = player_boxes(facts, n)
        place, reached = np.ascontiguousarray(body[:, :3]), np.ascontiguousarray(following[:, :3])
        sin, cos = f.frames_of(body[:, at.YAW])
        velocity = to_frame(body[:, at.VX : at.VZ + 1], sin, cos)
        here = see(facts, grounds, place, boxes.half, at.BODY_LEVELS_FROM)
        near = f.near_entity(body, lessons.walks.entities[rows], sin, cos)
        numbers = f.push_numbers(body, keys, here.fraction, near, velocity)
        out = self.network("push", _tensor(numbers), self._tokens(here.tokens, rng, noisy))
        moving = _tensor(velocity.astype(np.float32))
        push = f.read_push(out, moving, _tensor(body[:, at.EYE].astype(np.float32)))

        # What was attempted is seen where nothing stopped it, and bounded where something did.
        s, c = _tensor(sin.astype(np.float32)), _tensor(cos.astype(np.float32))
        tried = torch.stack([push.left * c - push.forward * s, push.up, push.forward * c + push.left * s], 1)
        ahead, behind = _touching(facts, grounds, reached, boxes)
        stopped = np.stack([following[:, at.BUMPED], following[:, at.ON_GROUND], following[:, at.BUMPED]], 1) > 0
        margin = _tensor(np.where(stopped, (0.005, MARGIN, 0.005), 0.0).astype(np.float32))
        error = (tried - _tensor(done.astype(np.float32))) / METRES
        over, under = (error + margin / METRES).clamp(min=0), (error - margin / METRES).clamp(max=0)
        forth, back = _tensor(ahead), _tensor(behind)
        error = torch.where(forth & back, torch.zeros_like(error), error)
        error = torch.where(forth & ~back, under, error)
        error = torch.where(back & ~forth, over, error)
        rests = (done[:, [0, 2]] == 0).all(1)
        free = ~(ahead | behind)[:, [0, 2]].any(1)
        weight = np.ones((n, 3), np.float32)
        weight[rests] = (0.1, 1.0, 0.1)
        sure = _tensor((free | ~rests).astype(np.float32))
        still = F.binary_cross_entropy_with_logits(push.still, _tensor(rests.astype(np.float32)), reduction="none")
        eyes = _loss((push.eye - _tensor(following[:, at.EYE].astype(np.float32))) / METRES)

        # What edges hold back.
        calm = f.Push(*(part.detach().numpy() for part in push))
        move = attempt(calm._replace(still=np.where(rests & free, 1.0, -1.0)), sin, cos)
        shorter = held_back(facts, grounds, place, move)
        matters = np.abs(shorter - move).max(1) > TOUCH
        nearer = np.abs(done - shorter)[:, [0, 2]].sum(1) < np.abs(done - move)[:, [0, 2]].sum(1)
        held = F.binary_cross_entropy_with_logits(push.held, _tensor(nearer.astype(np.float32)), reduction="none")

        # What contact leaves.
        holds = matters & nearer
        move = np.where(holds[:, None], shorter, move)
        carried = carry(facts, grounds, place, move, boxes)
        move = np.where(carried.hits == 0, done, move)
        there = place + np.stack([move[:, 0], carried.moved[:, 1], move[:, 2]], 1)
        after = see(facts, grounds, reached, boxes.half, at.BODY_LEVELS_FROM)
        beyond = see(facts, grounds, there, boxes.half, at.BODY_LEVELS_FROM)
        numbers = f.contact_numbers(body, keys, carried.hits, move, calm.held > 0, after.fraction)
        tokens = self._tokens(np.concatenate([after.tokens, beyond.tokens], 1), rng, noisy)
        contact = f.read_contact(self.network("contact", _tensor(numbers), tokens))
        hits, moves = _tensor(carried.hits != 0), _tensor(move.astype(np.float32))
        kept = torch.where(hits[:, [0, 2]], contact.stopped[:, None], contact.free[:, None]) * moves[:, [0, 2]]
        rises = moves[:, 1] * contact.up + contact.added
        left = torch.stack([kept[:, 0], rises, kept[:, 1]], 1)
        speed = _loss((left - _tensor(following[:, at.VX : at.VZ + 1].astype(np.float32))) / METRES)
        flags = torch.stack([contact.on_ground, contact.in_water, contact.bumped], 1)
        truth = _tensor(following[:, [at.ON_GROUND, at.IN_WATER, at.BUMPED]].astype(np.float32))
        contacts = F.binary_cross_entropy_with_logits(flags, truth)
        wrote = self._write(lessons, rows, rng, noisy)[1]
        events = F.binary_cross_entropy_with_logits(
            contact.events + wrote, _tensor(lessons.happened[rows]), reduction="none"
        )
        other = [k for k, name in enumerate(facts.events) if name not in OF_HANDS]
        return {
            "push": (_loss(error) * _tensor(weight)).mean() + eyes.mean(),
            "still": (still * sure).mean(),
            "held": (held * _tensor(matters.astype(np.float32))).sum() / max(int(matters.sum()), 20),
            "speed": speed.mean(),
            "contact": contacts,
            "events": events[:, other].mean() if other else events.sum() * 0,
        }

    def _write(
        self, lessons: Lessons, rows: np.ndarray, rng: np.random.Generator, noisy: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits of tokens [n, c] and of events [n, v]."""
        slot = lessons.walks.slot[lessons.after[rows]]
        numbers = _tensor(f.write_numbers(lessons.event[rows], slot))
        out = self.network("write", numbers, self._tokens(lessons.aim.tokens[rows, :1], rng, noisy))
        count = len(lessons.facts.names)
        return out[:, :count], out[:, count:]

    def _hand_losses(
        self, lessons: Lessons, rows: np.ndarray, rng: np.random.Generator, noisy: bool
    ) -> dict[str, Tensor]:
        walks, facts, after = lessons.walks, lessons.facts, lessons.after[rows]
        aimed = Aim(*(column[rows] for column in lessons.aim))
        inputs = f.Inputs(*(column[rows] for column in lessons.inputs))
        found, event = aimed.found, lessons.event[rows]
        same = (walks.cracked[rows] == aimed.cell).all(1) & found
        before = np.where(same, walks.progress[rows], 0.0)
        if noisy:
            before = np.clip(before + rng.normal(0, PROGRESS_NOISE, len(rows)) * same, 0, 1)
        tokens = self._tokens(aimed.tokens, rng, noisy)
        slot = self.network("slot", _tensor(f.slot_numbers(walks.slot[rows], inputs, found)), tokens[:, :1])
        slots = F.cross_entropy(slot, torch.from_numpy(walks.slot[after].astype(np.int64)))

        numbers = f.dig_numbers(inputs.hand_keys, found, before, lessons.break_age[rows])
        dig = f.read_dig(self.network("dig", _tensor(numbers), tokens[:, :1]))
        works = ((walks.cracked[after] == aimed.cell).all(1) | (event == at.DIG)) & found
        working = F.binary_cross_entropy_with_logits(dig.works, _tensor(works.astype(np.float32)))
        gained = walks.progress[after] - np.where(same, walks.progress[rows], 0.0)
        counts = works & (event != at.DIG)
        rate = _loss((dig.rate - _tensor(gained.astype(np.float32))) / PROGRESS_UNIT)
        rate = (rate * _tensor(counts.astype(np.float32))).sum() / max(int(counts.sum()), 1)

        progress = np.where(works, np.clip(before + dig.rate.detach().numpy(), 0.0, 1.0), 0.0)
        way = in_the_way(facts, lessons.turned[rows], walks.entities[rows], aimed.cell + aimed.normal)
        numbers = f.act_numbers(
            inputs.hand_keys, found, aimed.normal, aimed.distance, facts.reach, way, works, progress,
            lessons.break_age[rows], lessons.use_age[rows], walks.slot[after],
        )  # fmt: skip
        act = F.cross_entropy(self.network("act", _tensor(numbers), tokens), torch.from_numpy(event.astype(np.int64)))

        wrote, _ = self._write(lessons, rows, rng, noisy)
        target = torch.from_numpy(lessons.written[rows].astype(np.int64))
        written = F.cross_entropy(wrote, target, reduction="none") * _tensor((event > 0).astype(np.float32))
        swing = self.network("swing", _tensor(f.swing_numbers(inputs.hand_keys, event, walks.swing[rows])))
        swings = F.cross_entropy(swing, torch.from_numpy(walks.swing[after].astype(np.int64)))
        return {
            "slot": slots,
            "works": working,
            "rate": rate,
            "act": act,
            "write": written.sum() / max(int((event > 0).sum()), 1),
            "swing": swings,
        }

    def _herd_losses(
        self, lessons: Lessons, chosen: np.ndarray, rng: np.random.Generator, noisy: bool
    ) -> dict[str, Tensor]:
        facts, herd, limit = lessons.facts, lessons.herd, self.config.turn_limit
        state, turn, done = herd.state[chosen], herd.turn[chosen], herd.motion[chosen]
        place = np.ascontiguousarray(state[:, :3])
        grounds = Grounds(herd.cells[chosen], own_cells(place) + np.array(at.ENTITY_LOW))
        boxes = entity_boxes(facts, state[:, at.E_KIND])
        player_place = lessons.turned[herd.row[chosen], :3]

        def ask(name: str, yaw: np.ndarray, turning: np.ndarray, *more: np.ndarray) -> tuple[Tensor, np.ndarray]:
            sin, cos = f.frames_of(yaw)
            motion = to_frame(state[:, at.E_DX : at.E_DZ + 1], sin, cos)
            felt = feel(facts, grounds, place, boxes, sin, cos)
            player = f.near_player(state, player_place, sin, cos)
            numbers = f.entity_numbers(
                state, motion, turning, limit, felt.grounded, felt.blocked, felt.here.fraction, player
            )
            tokens = self._tokens(np.concatenate([felt.here.tokens, felt.ahead.tokens], 1), rng, noisy)
            return self.network(name, _tensor(np.concatenate([numbers, *more], 1)), tokens), motion

        bins = f.turn_bin(turn, limit)
        turned = F.cross_entropy(ask("turn", state[:, at.E_YAW], state[:, at.E_TURN])[0], torch.from_numpy(bins))
        yaw = state[:, at.E_YAW] + f.turn_bins(limit)[bins]
        out, motion = ask("walk", yaw, f.turn_bins(limit)[bins], f.one_hot(bins, at.TURN_BINS))
        walk = f.read_walk(out, _tensor(motion.astype(np.float32)))
        truth = _tensor(to_frame(done, *f.frames_of(yaw)).astype(np.float32))
        ahead, behind = _touching(facts, grounds, place + done, boxes)
        beside = _tensor((ahead | behind)[:, [0, 2]].any(1))
        sideways = [(walk.forward - truth[:, :1]) ** 2, ((walk.left - truth[:, 1]) ** 2)[:, None]]
        level = torch.where(beside[:, None], torch.zeros_like(walk.forward), sideways[0] + sideways[1])
        up = walk.up - truth[:, 2:]
        up = torch.where(_tensor(behind[:, 1])[:, None], (up + MARGIN).clamp(min=0), up)
        spread = self.network.spread.clamp(min=SMALLEST_SPREAD)  # type: ignore[union-attr, operator]
        error = (level + up**2) / (2 * torch.exp(2 * spread))
        walked = -torch.logsumexp(walk.modes.log_softmax(1) - error.clamp(max=60.0) - 3 * spread, 1)
        return {"turn": turned, "walk": 0.1 * walked.mean()}


def _drawn(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return rows[rng.integers(0, len(rows), count)] if len(rows) else np.zeros(0, np.intp)


def _touching(
    facts: Facts, grounds: Grounds, place: np.ndarray, boxes: Any
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """bool [n, 3] twice: whether boxes touch something solid ahead of and behind them on each axis."""
    found = []
    for step in (TOUCH, -TOUCH):
        hits = np.zeros((len(place), 3), np.bool_)
        for axis in range(3):
            move = np.zeros((len(place), 3))
            move[:, axis] = step
            hits[:, axis] = carry(facts, grounds, place, move, boxes).hits[:, axis] != 0
        found.append(hits)
    return found[0], found[1]


def make_part(folder: Path, config: DynamicsConfig | None = None, held_folder: Path | None = None) -> DynamicsPart:
    """The part that learns from a folder of walks; held out are those of another one, or else the last shard.

    Raises ReverieError.
    """
    files = walk_files(folder)
    cut = len(files) if held_folder else max(len(files) - HELD_SHARDS, 1)
    walks = read_walks(files[:cut])
    facts = find_facts(walks)
    train = Lessons(walks, facts)
    others = walk_files(held_folder) if held_folder else files[cut:]
    held = Lessons(read_walks(others), facts) if others else train
    limit, stride = find_strides(train.herd, walks)
    config = replace(config or DynamicsConfig(), turn_limit=limit, stride=stride)
    if not len(train.usable):
        raise ReverieError(f"{folder}: the walks are too short to learn from")
    return DynamicsPart(train, held, config)


TRAINER = TrainerConfig(lr=2e-3, weight_decay=0.0, ema=0.998, decay_share=0.5, evaluate_every=120.0)


def train(
    data_folder: Path,
    out_folder: Path,
    minutes: float,
    resume: bool = True,
    *,
    steps: int | None = None,
    held_folder: Path | None = None,
    config: DynamicsConfig | None = None,
    trainer: TrainerConfig = TRAINER,
    batch: int = BATCH,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Trains dynamics from recorded walks and writes what `Dynamics.load` reads into `out_folder`; gives the losses.

    With `resume` a checkpoint that is there goes on, to the step. Losses go to `history.jsonl`.
    """
    part = make_part(data_folder, config, held_folder)
    part.batch = batch
    figures = train_part(part, out_folder, minutes, trainer, resume=resume, steps=steps, progress=progress)
    export(part, out_folder)
    return figures


def export(part: DynamicsPart, out_folder: Path) -> None:
    """Writes the averaged weights of a checkpoint for play."""
    from reverie.model.training.trainer import load_ema

    network = DynamicsNetworks(part.train.facts, part.config)
    load_ema(out_folder, network)
    save_dynamics(out_folder, part.train.facts, part.config, network.arrays())
