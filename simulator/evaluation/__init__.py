"""Evaluation on held-out worlds."""
