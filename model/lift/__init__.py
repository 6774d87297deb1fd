"""Lifting pictures into cells: every pixel chooses the face of a cell that it sees, and all pixels vote."""
