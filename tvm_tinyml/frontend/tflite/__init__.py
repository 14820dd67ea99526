"""TFLite importer: reader (safe parsing), operators (one converter per operator), importer (Relax module)."""

from __future__ import annotations

from .importer import from_tflite, tensor_names

__all__ = ["from_tflite", "tensor_names"]
