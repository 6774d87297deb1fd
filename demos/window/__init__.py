"""The window that a player looks through."""
