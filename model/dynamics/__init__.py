"""Learned motion of the body, the hands and the entities."""
