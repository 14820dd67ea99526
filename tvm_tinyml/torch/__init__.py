"""What PyTorch users need beside the importer: a quantizer for PyTorch's export flow (extra `torch`)."""

from __future__ import annotations

from .quantizer import TinyMLQuantizer

__all__ = ["TinyMLQuantizer"]
