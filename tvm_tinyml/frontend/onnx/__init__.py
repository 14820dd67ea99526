"""ONNX importer: reader (checked loading, constants), integer forms as QDQ, and the shared QDQ import."""

from __future__ import annotations

from .importer import from_onnx, supported_operators

__all__ = ["from_onnx", "supported_operators"]
