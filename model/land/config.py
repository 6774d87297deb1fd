"""The configurations of the world model's networks. Importing them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from reverie.model.cells import HEIGHT as LAYERS
from reverie.model.errors import ModelError
from reverie.model.land.columns import COVERS, RISES, STRIDE


class _Config:
    """JSON for the frozen dataclasses below, all of whose fields are whole numbers."""

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From JSON. Raises ModelError where a field is missing, unknown, or no whole number."""
        names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if not isinstance(data, Mapping) or set(data) != names:
            raise ModelError(f"a {cls.__name__} has the fields {', '.join(sorted(names))}")
        if not all(type(value) is int for value in data.values()):
            raise ModelError(f"the fields of a {cls.__name__} are whole numbers")
        return cls(**data)


@dataclass(frozen=True, slots=True)
class ColumnConfig(_Config):
    """A network over maps of columns, or over outlines."""

    tokens: int
    """Size of the vocabulary."""
    size: int
    """Columns along an edge of the map."""
    patch: int
    """Columns along an edge of a patch."""
    rises: int
    """Values of the channel RISE."""
    context: int
    """Cells along an edge of the outline that the map is conditioned on, around its middle; 0 for none."""
    width: int
    layers: int
    heads: int
    features: int
    """Width at the level of columns."""

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Values of each channel."""
        return LAYERS, self.tokens, LAYERS, self.rises, self.tokens


@dataclass(frozen=True, slots=True)
class CellConfig(_Config):
    """A network over crops of cells, given their columns."""

    tokens: int
    size: int
    """Cells along an edge of the crop."""
    patch: int
    width: int
    layers: int
    heads: int
    features: int
    """Width at the level of cells."""


@dataclass(frozen=True, slots=True)
class LandConfig:
    """The three networks of a world model."""

    outline: ColumnConfig
    columns: ColumnConfig
    cells: CellConfig

    @property
    def margin(self) -> int:
        """Outline cells of the context beyond each edge of the map of columns."""
        return (self.columns.context - self.columns.size // STRIDE) // 2

    def to_dict(self) -> dict[str, Any]:
        """JSON, the inverse of `from_dict`."""
        return {"outline": self.outline.to_dict(), "columns": self.columns.to_dict(), "cells": self.cells.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LandConfig:
        """From JSON. Raises ModelError for anything else."""
        try:
            return cls(
                ColumnConfig.from_dict(data["outline"]),
                ColumnConfig.from_dict(data["columns"]),
                CellConfig.from_dict(data["cells"]),
            )
        except (KeyError, TypeError) as error:
            raise ModelError("a world model's config has the parts outline, columns and cells") from error


def land_config(tokens: int, preset: str = "tiny") -> LandConfig:
    """A preset for a vocabulary of so many tokens. Raises ModelError."""
    if preset == "tiny":
        return LandConfig(
            ColumnConfig(tokens, 24, 2, COVERS, 0, width=128, layers=4, heads=4, features=32),
            ColumnConfig(tokens, 64, 4, RISES, 16, width=192, layers=5, heads=6, features=32),
            CellConfig(tokens, 32, 4, width=192, layers=5, heads=6, features=16),
        )
    if preset == "test":
        return LandConfig(
            ColumnConfig(tokens, 8, 2, COVERS, 0, width=16, layers=1, heads=2, features=8),
            ColumnConfig(tokens, 32, 4, RISES, 8, width=16, layers=1, heads=2, features=8),
            CellConfig(tokens, 16, 4, width=16, layers=1, heads=2, features=8),
        )
    raise ModelError(f"unknown preset {preset!r}; there are tiny and test")
