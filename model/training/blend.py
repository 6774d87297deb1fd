"""Weights between two sets of them: a fine-tuned model keeps more of what it knew, and is often better at what is new
too, a part of the way back to where it started (WiSE-FT, Wortsman et al., arXiv 2109.01903)."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from reverie.model.training.lora import ADAPTER
from reverie.model.weights import STUDENT, load_config, load_model, save_model

SCREEN = "overlay"
"""What the names of buffers begin with that say where something is painted on the screen: found, not learned."""
GROWING = ".lora_B."
"""In the names of those halves of adapters to which their whole is proportional."""


def blend(start: Path, tuned: Path, share: float, out: Path) -> None:
    """Writes into the model folder `out` the students of two others: a `share` 0..1 of `tuned`, the rest of `start`.

    An adapter beside the tuned weights is scaled alike. Raises ModelError.
    """
    before, after = load_model(start).state_dict(), load_model(tuned).state_dict()
    mixed = {
        name: weight if name.startswith(SCREEN) else before[name].lerp(weight, share) for name, weight in after.items()
    }
    save_model(out, load_config(tuned), mixed, STUDENT)
    if (tuned / ADAPTER).is_file():
        adapter = load_file(tuned / ADAPTER)
        save_file({name: share * part if GROWING in name else part for name, part in adapter.items()}, out / ADAPTER)
