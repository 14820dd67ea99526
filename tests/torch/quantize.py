"""torchao's post-training flow with our quantizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tvm_tinyml.torch import TinyMLQuantizer


def quantized(network: nn.Module, image: Callable[[], Tensor], *, calibration: int = 8) -> tuple[Any, Any]:
    """The reference-quantised module, and the program exported from it."""
    prepared = prepare_pt2e(torch.export.export(network, (image(),)).module(), TinyMLQuantizer())
    with torch.no_grad():
        for _ in range(calibration):
            prepared(image())
    converted = convert_pt2e(prepared)
    return converted, torch.export.export(converted, (image(),))


def batched(reference: Any, images: Tensor) -> Tensor:
    """What a reference-quantised module makes of many images, of which it was exported for one."""
    reference.get_submodule("_guards_fn").forward = lambda *_: None
    with torch.no_grad():
        return torch.cat([reference(some) for some in torch.split(images, 50)])
