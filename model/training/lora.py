"""Low-rank adapters (LoRA, arXiv 2106.09685) by the peft library: few weights learn, and are added to the others after.

An optional extra, `pip install reverie[lora]`. The adapters alone are kept too: a megabyte that turns one model into
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from reverie.model.errors import ModelError

ADAPTER = "adapter.safetensors"


def require_packages() -> None:
    """Raises ModelError where peft is not installed."""
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ModelError("low-rank adapters need peft: pip install 'reverie[lora]'") from error


def add_adapters(model: nn.Module, rank: int) -> nn.Module:
    """Gives every matrix and every convolution of `model` an adapter of that rank, in place; nothing else learns.

    Adapters begin as zero, so the model says what it said. Raises ModelError where peft is not installed.
    """
    require_packages()
    from peft import LoraConfig, inject_adapter_in_model

    adapted = [name for name, part in model.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=adapted)
    return inject_adapter_in_model(config, model)


def adapter_weights(model: nn.Module) -> Mapping[str, Tensor]:
    """The adapters' weights alone, by name."""
    return {name: weight for name, weight in model.state_dict().items() if ".lora_" in name}


def merge_adapters(model: nn.Module) -> nn.Module:
    """Adds all adapters to the weights they belong to, in place, and takes them away."""
    from peft.tuners.lora import LoraLayer

    parts: list[tuple[str, Any]] = [(name, part) for name, part in model.named_modules() if isinstance(part, LoraLayer)]
    for name, part in parts:
        part.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, part.get_base_layer())
    return model
