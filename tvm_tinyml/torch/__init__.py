"""What PyTorch users need beside the importer (extra `torch`): a quantizer for PyTorch's export flow, and training for
networks whose receptive field moves."""

from __future__ import annotations

from .distillation import distill
from .quantizer import TinyMLQuantizer
from .redistribution import Redistribution, redistribute

__all__ = ["Redistribution", "TinyMLQuantizer", "distill", "redistribute"]
