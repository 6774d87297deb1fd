"""The exact world: teacher, judge and control of the dream."""
