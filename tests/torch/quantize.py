"""torchao's post-training flow with our quantizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tvm_tinyml.torch import TinyMLQuantizer

# Small networks gain nothing by threads, and the workers of pytest take all cores.
torch.set_num_threads(1)


def quantized(network: nn.Module, image: Callable[[], Tensor], *, calibration: int = 8) -> tuple[Any, Any]:
    """The reference-quantised module, and the program exported from it."""
    prepared = prepare_pt2e(torch.export.export(network, (image(),)).module(), TinyMLQuantizer())
    with torch.no_grad():
        for _ in range(calibration):
            prepared(image())
    converted = convert_pt2e(prepared)
    return converted, torch.export.export(converted, (image(),))
