"""Things that people do in a block world, as generators of actions: walk, look about, dig, build.

Each takes the player's `Mind`, yields one `Action` a tick, and reads `mind.senses`, which are fresh after each
yield. In a dream the senses are None; then everything runs open loop, by its durations alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from reverie.simulator.action import Action
from reverie.simulator.mind import LOGS, Mind

Behaviour = Iterator[Action]

DEEP_DROP = 3.5
"""Metres that a walker will not step down, if seen in time."""
DOUBTFUL_DROP = 1.8
HIGH_WALL = -1.5
DOWN_PITCH = 84.0
BRIDGE_PITCH = 80.0
ROW_PITCH = 33.0
PILLAR_TICKS_PER_BLOCK = 12
SNEAK_TICKS_PER_BLOCK = 16


def rest(mind: Mind, ticks: int, **keys: bool) -> Behaviour:
    """Nothing but these keys, and the rest of what the gaze has planned."""
    for _ in range(ticks):
        yield mind.do(**keys)


def finish_look(mind: Mind, **keys: bool) -> Behaviour:
    """Holds the keys until the planned look is over."""
    while mind.gaze.busy:
        yield mind.do(**keys)


def stand(mind: Mind, ticks: int) -> Behaviour:
    """Stands still, with a small look now and then."""
    left = ticks
    while left > 0:
        pause = min(mind.ticks(0.8, 5.0), left)
        yield from rest(mind, pause)
        left -= pause
        if left > 0 and mind.chance(0.6):
            mind.look_to_pitch(mind.rng.normal(6.0, 5.0), mind.rng.normal(0.0, 14.0))
        if left > 0 and mind.chance(0.1):
            yield mind.do(hotbar=int(mind.rng.integers(1, 10)))
            left -= 1


def look_around(mind: Mind, **keys: bool) -> Behaviour:
    """A few looks to the sides, up and down."""
    for _ in range(int(mind.rng.integers(2, 5))):
        mind.look_to_pitch(mind.rng.normal(4.0, 12.0), mind.side() * mind.rng.uniform(20.0, 110.0))
        yield from finish_look(mind, **keys)
        yield from rest(mind, mind.ticks(0.1, 1.2), **keys)


def look_away_and_return(mind: Mind) -> Behaviour:
    """Turns away, stays away for a while, and turns back to what was there."""
    yaw = mind.side() * mind.rng.uniform(45.0, 180.0)
    pitch = mind.rng.normal(0.0, 8.0)
    mind.look(pitch, yaw)
    yield from finish_look(mind)
    yield from rest(mind, mind.ticks(0.2, 1.5) if mind.chance(0.6) else mind.ticks(1.5, 5.0))
    mind.look(-pitch, -yaw)
    yield from finish_look(mind)
    yield from rest(mind, mind.ticks(0.2, 1.2))


def full_turn(mind: Mind, walking: bool = False) -> Behaviour:
    """A whole circle, once, at an even or a swelling speed."""
    yaw = mind.side() * 360.0
    ticks = round(360.0 / mind.rng.uniform(3.0, 11.0))
    if mind.chance(0.5):
        mind.gaze.plan_even(0.0, yaw, ticks)
    else:
        mind.gaze.plan(0.0, yaw, ticks)
    while mind.gaze.busy:
        yield mind.do(**_onward(mind, walking))
    yield from rest(mind, mind.ticks(0.1, 0.8))


def sidle(mind: Mind) -> Behaviour:
    """Steps sideways and backwards with the eyes on the same thing."""
    for _ in range(int(mind.rng.integers(1, 4))):
        held = [str(mind.rng.choice(("left", "right", "back"), p=(0.36, 0.36, 0.28)))]
        if held != ["back"] and mind.chance(0.3):
            held.append("forward" if mind.chance(0.6) else "back")
        keys = dict.fromkeys(held, True)
        for _ in range(mind.ticks(0.4, 1.8)):
            yield mind.do(steer=True, **keys)
        yield from rest(mind, mind.ticks(0.0, 0.5))


def strafe(mind: Mind) -> Behaviour:
    """Goes sideways for a while, in a straight line, walking, sprinting round something or hopping."""
    side, other = ("left", "right") if mind.chance(0.5) else ("right", "left")
    for held in (side, other) if mind.chance(0.5) else (side,):
        keys = {held: True, "forward": mind.chance(0.25), "jump": mind.chance(0.15)}
        keys["sprint"] = keys["forward"] and mind.chance(0.6)
        yield from rest(mind, mind.ticks(0.4, 2.0), **keys)
        yield from rest(mind, mind.ticks(0.0, 0.4))


def hop(mind: Mind) -> Behaviour:
    """Jumps a few times, on the spot or on the way."""
    moving = str(mind.rng.choice(("", "forward", "back", "left", "right"), p=(0.4, 0.4, 0.06, 0.07, 0.07)))
    keys = {moving: True} if moving else {}
    if moving == "forward":
        keys["sprint"] = mind.chance(0.5)
    for _ in range(int(mind.rng.integers(1, 4))):
        yield from rest(mind, mind.ticks(0.05, 0.2), jump=True, **keys)
        yield from rest(mind, mind.ticks(0.3, 0.8), **keys)


def dash(mind: Mind) -> Behaviour:
    """Straight on, whatever comes: into walls, off edges, into water; sprinting more often than not."""
    sprint = mind.chance(0.6)
    for _ in range(mind.ticks(0.8, 3.0)):
        yield mind.do(steer=True, forward=True, sprint=sprint)


def lean(mind: Mind) -> Behaviour:
    """Walks on with the keys held until long after something has stopped it; then turns away, or jumps."""
    keys = {"forward": True, "sprint": mind.chance(0.3)}
    if mind.chance(0.15):
        keys = {str(mind.rng.choice(("left", "right", "back"))): True}
    steer, patience, held_up = mind.chance(0.5), mind.ticks(0.3, 2.5), 0
    for _ in range(mind.ticks(1.0, 6.0)):
        yield mind.do(steer=steer, **keys)
        held_up += bool(mind.senses.blocked)
        if held_up > patience:
            break
    if mind.senses.blocked and mind.chance(0.3):
        yield from rest(mind, mind.ticks(0.1, 0.6), jump=True, **keys)
    mind.look_to_pitch(mind.rng.normal(7.0, 6.0), mind.side() * mind.rng.uniform(20.0, 150.0))
    yield from finish_look(mind, **(keys if mind.chance(0.5) else {}))


def creep(mind: Mind) -> Behaviour:
    """Sneaks about, which lowers the eye, and stops at edges."""
    way = str(mind.rng.choice(("forward", "back", "left", "right"), p=(0.55, 0.15, 0.15, 0.15)))
    yield from rest(mind, mind.ticks(0.1, 0.6), sneak=True)
    yield from rest(mind, mind.ticks(0.4, 2.0), sneak=True, **{way: True})


def spin(mind: Mind) -> Behaviour:
    """Turns at one speed for a while, slowly or fast, standing or walking."""
    ticks = mind.ticks(1.0, 6.0)
    speed = mind.side() * (mind.rng.uniform(0.8, 4.0) if mind.chance(0.6) else mind.rng.uniform(4.0, 14.0))
    walking = mind.chance(0.4)
    mind.gaze.plan_even((mind.rng.normal(6.0, 8.0) - mind.pitch), speed * ticks, ticks)
    while mind.gaze.busy:
        yield mind.do(**_onward(mind, walking))


def sweep_pitch(mind: Mind) -> Behaviour:
    """Looks up and down."""
    for pitch in (mind.rng.uniform(-40.0, -10.0), mind.rng.uniform(20.0, 50.0), mind.rng.normal(7.0, 3.0)):
        mind.look_to_pitch(pitch, mind.rng.normal(0.0, 10.0))
        yield from finish_look(mind)
        yield from rest(mind, mind.ticks(0.0, 0.6))


def sweep_look(mind: Mind) -> Behaviour:
    """Smooth looks from one side to the other."""
    side = mind.side()
    walking = mind.chance(0.4)
    for _ in range(int(mind.rng.integers(2, 6))):
        mind.look_to_pitch(mind.rng.normal(6.0, 10.0), side * mind.rng.uniform(30.0, 160.0))
        while mind.gaze.busy:
            yield mind.do(**_onward(mind, walking))
        yield from rest(mind, mind.ticks(0.0, 0.7))
        side = -side


def _onward(mind: Mind, walking: bool) -> dict[str, bool]:
    """The keys that walk on while the eyes do something else, unless there is a wall, a deep drop or water."""
    senses = mind.senses
    free = HIGH_WALL < (senses.drop_ahead or 0.0) < DEEP_DROP and not senses.water_ahead
    return {"forward": walking and free, "jump": walking and free and bool(senses.blocked)}


def walk(mind: Mind, ticks: int) -> Behaviour:
    """Walks on, steering: jumps up steps, turns away from walls, deep drops and water.

    Out of a hole it builds its way; where all sides fall away it leaps at last.
    """
    sprint_left = strafe_left = hop_left = blocked_for = refuse_for = calm_for = 0
    strafe = "left"
    turns = 0
    tolerant, swimmer = mind.chance(0.3), mind.chance(0.12)
    turn_side = mind.side()
    for _ in range(ticks):
        senses = mind.senses
        sprint_left, strafe_left, hop_left = sprint_left - 1, strafe_left - 1, hop_left - 1
        refuse_for = max(refuse_for - 1, 0)
        blocked_for = blocked_for + 1 if senses.blocked else 0
        drop = senses.drop_ahead or 0.0
        steep = drop > DEEP_DROP or (drop > DOUBTFUL_DROP and not tolerant)
        walled = drop < HIGH_WALL and bool(senses.blocked)
        shore = bool(senses.water_ahead) and not swimmer
        avoid = bool(senses.on_ground) and not senses.in_water and (steep or walled or shore)
        if not mind.gaze.busy and not refuse_for and (avoid or blocked_for > 11):
            turns += 1
            if turns % 3 == 0:
                turn_side = mind.side()
            mind.look_to_pitch(mind.rng.normal(7.0, 4.0), turn_side * mind.rng.uniform(45.0, 120.0))
            blocked_for, refuse_for = 0, 6
            if turns >= 7 and senses.blocked:
                yield from climb_out(mind)
                turns = 0
            elif turns >= 5 and steep:
                yield from finish_look(mind)
                yield from rest(mind, 14, forward=True)
                turns = 0
            calm_for = 0
            continue
        calm_for += 1
        if calm_for > 40:
            turns = 0
        if sprint_left < -60 and mind.chance(0.02):
            sprint_left = mind.ticks(1.0, 5.0)
        if strafe_left < -40 and abs(drop) < 1.5 and mind.chance(0.025):
            strafe_left, strafe = mind.ticks(0.2, 1.0), ("left" if mind.chance(0.5) else "right")
        if hop_left < -30 and abs(drop) < 1.5 and mind.chance(0.008):
            hop_left = mind.ticks(0.1, 0.4)
        if not mind.gaze.busy and mind.chance(0.014):
            mind.look_to_pitch(mind.rng.normal(7.0, 6.0), mind.rng.normal(0.0, 40.0))
        elif not mind.gaze.busy and abs(mind.pitch - 8.0) > 22.0:
            mind.look_to_pitch(mind.rng.normal(7.0, 5.0), mind.rng.normal(0.0, 8.0))
        open_loop_hop = senses.blocked is None and hop_left > -6 and mind.chance(0.02)
        keys = {
            "forward": not avoid,
            "sprint": sprint_left > 0 and not avoid,
            "jump": bool(senses.blocked and not walled) or bool(senses.in_water) or hop_left > 0 or open_loop_hop,
        }
        if strafe_left > 0:
            keys[strafe] = True
        yield mind.do(steer=True, **keys)


def turn_from_wall(mind: Mind) -> Behaviour:
    """Turns on until there is no wall before the nose."""
    side = mind.side()
    for _ in range(4):
        if not mind.senses.blocked:
            return
        mind.look_to_pitch(mind.rng.normal(7.0, 4.0), side * mind.rng.uniform(50.0, 110.0))
        yield from finish_look(mind)


def climb_out(mind: Mind) -> Behaviour:
    """Gets out of a hole by building a pillar under the feet."""
    yield from pillar(mind, int(mind.rng.integers(2, 5)))
    mind.look_to_pitch(8.0, mind.side() * mind.rng.uniform(20.0, 120.0))
    yield from finish_look(mind)
    yield from rest(mind, 16, forward=True, jump=True)


def break_target(mind: Mind, longest: int = 45) -> Behaviour:
    """Holds attack until the block under the crosshair gives way, or patience does."""
    distance = mind.senses.target_distance
    block = mind.target
    known = distance is not None
    if known and block is None:
        return
    for tick in range(longest):
        yield mind.do(attack=True)
        if known and tick > 1 and (mind.senses.target_distance != distance or mind.target != block):
            break
    yield from rest(mind, mind.ticks(0.05, 0.3))


def chop(mind: Mind) -> Behaviour:
    """Cuts the trunk in front of the eyes, block by block, first level, then upwards."""
    for step in range(int(mind.rng.integers(2, 5))):
        if mind.target is not None and mind.target not in LOGS and step:
            break
        yield from break_target(mind)
        mind.look((-26.0 if step else 22.0) * mind.rng.uniform(0.8, 1.2), mind.rng.normal(0.0, 2.0))
        yield from finish_look(mind)
    mind.look_to_pitch(mind.rng.normal(6.0, 4.0))
    yield from finish_look(mind)


def swing(mind: Mind) -> Behaviour:
    """Hits at whatever is there or is not: one click, a few, or the key held down."""
    for _ in range(int(mind.rng.integers(1, 4))):
        yield from rest(mind, int(mind.rng.choice((1, 2, 6, 16, 30))), attack=True)
        yield from rest(mind, mind.ticks(0.05, 0.6))


def try_slots(mind: Mind) -> Behaviour:
    """Takes one thing after the other into the hand, in any order or along the bar."""
    slot, along = int(mind.rng.integers(1, 10)), mind.chance(0.5)
    for _ in range(int(mind.rng.integers(1, 5))):
        slot = slot % 9 + 1 if along else int(mind.rng.integers(1, 10))
        yield mind.do(hotbar=slot)
        yield from rest(mind, mind.ticks(0.1, 0.9))


def dig(mind: Mind) -> Behaviour:
    """Looks at the ground ahead and digs a few blocks."""
    mind.look_to_pitch(mind.rng.uniform(28.0, 52.0), mind.rng.normal(0.0, 15.0))
    yield from finish_look(mind)
    for _ in range(int(mind.rng.integers(3, 8))):
        if mind.senses.pitch is not None and mind.target is None:
            mind.look_to_pitch(min(mind.pitch + 18.0, DOWN_PITCH))
            yield from finish_look(mind)
        yield from break_target(mind)
        mind.look(mind.rng.normal(0.0, 6.0), mind.rng.normal(0.0, 12.0))
        yield from finish_look(mind)
    mind.look_to_pitch(mind.rng.normal(8.0, 4.0))
    yield from finish_look(mind)


def dig_down(mind: Mind) -> Behaviour:
    """Digs a shaft under the feet, looks about in it, and builds its way out."""
    depth = int(mind.rng.integers(1, 4))
    mind.look_to_pitch(DOWN_PITCH)
    yield from finish_look(mind)
    for _ in range(depth):
        yield from break_target(mind)
        yield from rest(mind, 6)
    mind.look_to_pitch(mind.rng.uniform(-10.0, 20.0), mind.rng.normal(0.0, 60.0))
    yield from finish_look(mind)
    yield from rest(mind, mind.ticks(0.2, 1.5))
    yield from pillar(mind, depth + 1)


def tunnel(mind: Mind) -> Behaviour:
    """Digs forward at the height of eyes and feet, and walks into the opening."""
    for _ in range(int(mind.rng.integers(2, 6))):
        mind.look_to_pitch(mind.rng.normal(4.0, 2.0))
        yield from finish_look(mind)
        if mind.target is not None or mind.senses.pitch is None:
            yield from break_target(mind)
        mind.look_to_pitch(mind.rng.uniform(36.0, 44.0))
        yield from finish_look(mind)
        if mind.senses.blocked or mind.senses.blocked is None:
            yield from break_target(mind)
        yield from rest(mind, mind.ticks(0.25, 0.5), forward=True)
    mind.look_to_pitch(6.0)
    yield from finish_look(mind)


def select_slot(mind: Mind) -> Behaviour:
    """Takes another block in hand, sometimes by way of others."""
    for _ in range(1 if mind.chance(0.7) else int(mind.rng.integers(2, 5))):
        yield mind.do(hotbar=int(mind.rng.integers(1, 10)))
        yield from rest(mind, mind.ticks(0.1, 0.5))


def pillar(mind: Mind, blocks: int) -> Behaviour:
    """Builds a pillar under its own feet: looks down, jumps, and places a block before it lands."""
    mind.look_to_pitch(DOWN_PITCH)
    yield from finish_look(mind)
    yield from rest(mind, blocks * PILLAR_TICKS_PER_BLOCK, jump=True, use=True)
    yield from rest(mind, mind.ticks(0.3, 0.6))


def pillar_and_view(mind: Mind) -> Behaviour:
    """Goes up on a pillar, enjoys the view, sometimes builds a bridge from there, and steps off."""
    yield from select_slot(mind)
    yield from pillar(mind, int(mind.rng.integers(2, 5)))
    if mind.chance(0.5):
        yield from bridge(mind)
    mind.look_to_pitch(mind.rng.uniform(5.0, 20.0))
    yield from finish_look(mind)
    yield from (look_around(mind) if mind.chance(0.6) else full_turn(mind))
    yield from rest(mind, mind.ticks(0.6, 1.2), forward=True)


def bridge(mind: Mind) -> Behaviour:
    """Backs over an edge, sneaking, and places blocks against the side of the last one."""
    mind.look_to_pitch(BRIDGE_PITCH)
    yield from finish_look(mind, sneak=True)
    blocks = int(mind.rng.integers(3, 8))
    yield from rest(mind, blocks * SNEAK_TICKS_PER_BLOCK, sneak=True, back=True, use=True)
    yield from rest(mind, mind.ticks(0.1, 0.4), sneak=True)


def build_wall(mind: Mind) -> Behaviour:
    """Places a row of blocks while sneaking sideways, sometimes a second row on top."""
    yield from select_slot(mind)
    side = "left" if mind.chance(0.5) else "right"
    length = int(mind.rng.integers(3, 7))
    mind.look_to_pitch(ROW_PITCH + mind.rng.uniform(-4.0, 6.0))
    yield from finish_look(mind)
    for row in range(1 if mind.chance(0.5) else 2):
        for _ in range(length):
            yield from rest(mind, 2, use=True)
            yield from rest(mind, SNEAK_TICKS_PER_BLOCK - 2, sneak=True, **{side: True})
        side = "right" if side == "left" else "left"
        if row == 0:
            mind.look(-14.0)
            yield from finish_look(mind)
    yield from rest(mind, mind.ticks(0.2, 0.8), back=True)
    mind.look_to_pitch(mind.rng.normal(12.0, 4.0))
    yield from finish_look(mind)


def place_block(mind: Mind) -> Behaviour:
    """Places a single block on the ground ahead."""
    if mind.chance(0.6):
        yield from select_slot(mind)
    mind.look_to_pitch(mind.rng.uniform(24.0, 45.0), mind.rng.normal(0.0, 15.0))
    yield from finish_look(mind)
    yield from rest(mind, int(mind.rng.integers(1, 4)), use=True)
    yield from rest(mind, mind.ticks(0.1, 0.5), back=mind.chance(0.5))
    mind.look_to_pitch(mind.rng.normal(12.0, 4.0))
    yield from finish_look(mind)


def mash(mind: Mind, ticks: int) -> Behaviour:
    """Random held keys and random turning, in segments of 0.3 to 1.5 s."""
    left = ticks
    while left > 0:
        segment = min(mind.ticks(0.3, 1.5), left)
        left -= segment
        held = {
            name: mind.chance(probability)
            for name, probability in (
                ("forward", 0.5), ("back", 0.12), ("left", 0.15), ("right", 0.15), ("jump", 0.2),
                ("sneak", 0.08), ("sprint", 0.2), ("attack", 0.25), ("use", 0.1),
            )
        }  # fmt: skip
        if mind.chance(0.6):
            down = mind.rng.normal(0.0, 12.0) + 0.5 * (7.0 - mind.pitch)
            mind.gaze.plan(down, mind.rng.normal(0.0, 45.0), segment)
        slot = int(mind.rng.integers(1, 10)) if mind.chance(0.15) else 0
        for tick in range(segment):
            yield mind.do(hotbar=slot if tick == 0 else 0, **held)
        mind.gaze.clear()
