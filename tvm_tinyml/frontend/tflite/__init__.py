"""TFLite importer: reader (safe parsing), operators (one converter per operator), importer (Relax module)."""

from __future__ import annotations

from .importer import from_tflite, tensor_names
from .operators import supported_operators
from .summary import ModelSummary, OperatorSummary, summarize

__all__ = [
    "ModelSummary",
    "OperatorSummary",
    "from_tflite",
    "summarize",
    "supported_operators",
    "tensor_names",
]
