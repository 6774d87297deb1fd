"""Figures of a training run as TensorBoard events, where the package tensorboard is installed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Writes scalars to a folder: `tensorboard --logdir FOLDER` draws them. Does nothing without the package."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # an accelerator's machine has only what training needs
            return
        self._writer = SummaryWriter(str(folder))

    def add(self, step: int, figures: Mapping[str, Any]) -> None:
        """The numbers among the figures of a step; those of mappings have the mapping's name before theirs."""
        if self._writer is None:
            return
        for name, value in figures.items():
            if isinstance(value, Mapping):
                self.add(step, {f"{name}/{key}": one for key, one in value.items()})
            elif isinstance(value, (int, float)) and math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Everything is on the disk afterwards."""
        if self._writer is not None:
            self._writer.close()
