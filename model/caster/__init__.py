"""Geometry alone: which cell each pixel's ray meets, how far away, and what stands beside it."""
