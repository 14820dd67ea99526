"""PyTorch importer: an exported program, quantised by torchao's pt2e flow, as a QDQ network."""

from __future__ import annotations

from .importer import from_pytorch

__all__ = ["from_pytorch"]
