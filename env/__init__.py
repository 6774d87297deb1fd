"""Gymnasium environments over both worlds."""
