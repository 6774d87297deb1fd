"""How the arrays of dynamics are laid out."""

from __future__ import annotations

# Entries of a body, float64 [BODY].
X, Y, Z = 0, 1, 2
"""Middle of the feet, metres."""
VX, VY, VZ = 3, 4, 5
"""Metres a tick."""
YAW, PITCH, EYE = 6, 7, 8
"""Degrees; metres above the feet."""
ON_GROUND, IN_WATER, BUMPED = 9, 10, 11
"""0 or 1."""
JUMP_AGE, AIR_TICKS, DRY_TICKS = 12, 13, 14
"""Ticks since the feet left the ground upwards with the jump key held throughout (MAX_JUMP_AGE: none such); ticks since
they stood or swam; ticks since the body was in water. Counted from what is observed, and capped."""
BODY = 15
MAX_JUMP_AGE, MAX_TICKS = 11, 20

# Entries of an entity, float64 [ENTITY].
E_X, E_Y, E_Z, E_YAW, E_KIND, E_PHASE = range(6)
E_DX, E_DY, E_DZ, E_TURN = 6, 7, 8, 9
"""Its last tick's motion in metres and turn in degrees."""
E_WALK_AGE, E_TURN_AGE = 10, 11
"""Ticks since it last began or ceased to move, and to turn; capped at MAX_AGE."""
ENTITY = 12
MAX_AGE = 150
MOVING, TURNING = 0.01, 0.5
"""Metres and degrees a tick from which an entity counts as moving and turning."""
MAX_ENTITIES = 16
KINDS = 4

WINDOW_LOW, WINDOW_SHAPE = (-5, -8, -5), (11, 16, 11)
"""Cells about a body that a tick may depend on: the first one from its own (floor of x, y + 0.1, z); how many."""
ENTITY_LOW, ENTITY_SHAPE = (-2, -5, -2), (5, 9, 5)
"""The same about an entity."""
BODY_REACH, ENTITY_REACH = (4.0, 4.0, 4.0), (1.5, 4.0, 1.5)
"""Metres along x, y, z that a box goes in a tick at most: its cells reach no further."""
FLOOR_MARGIN = 0.1
"""Metres added to a height before it is rounded down: feet on a whole height would flip between two cells."""

LEVELS = 6
BODY_LEVELS_FROM = -2
"""Cells below the feet at which the LEVELS levels of cells about a body begin."""
AHEAD_LEVELS_FROM = -4
COLUMNS = 4
"""Cells of one level that a box narrower than a metre overlaps, at most."""

MAX_BREAK_AGE, MAX_USE_AGE = 7, 255
"""Caps of the hands' counters; the value itself: none such."""
USE_AGES = 24
"""Ages of the use key that are told apart one by one; for later ones their phase has to do."""
SLOTS, SWINGS = 9, 6
NOTHING, DIG, PLACE = 0, 1, 2
"""What hands bring about in a tick."""
TURN_BINS = 17
MODES = 4
"""Kinds of motion that an entity chooses from each tick; which they are is learned."""
