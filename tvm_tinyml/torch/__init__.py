"""What PyTorch users need beside the importer (extra `torch`): a quantizer for PyTorch's export flow, quantisation
after training, and training for networks whose receptive field moves."""

from __future__ import annotations

from .distillation import distill
from .post_training import Quantized, quantize
from .quantizer import TinyMLQuantizer
from .redistribution import Redistribution, redistribute
from .running import Agreement, Run, compile_and_run

__all__ = [
    "Agreement",
    "Quantized",
    "Redistribution",
    "Run",
    "TinyMLQuantizer",
    "compile_and_run",
    "distill",
    "quantize",
    "redistribute",
]
