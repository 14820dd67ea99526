"""TFLite importer: reader (safe parsing), operators (one converter per operator), importer (Relax module)."""

from __future__ import annotations

from .emitter import Emitter, Source, source_of
from .graph import Graph, Operator, Tensor
from .importer import from_tflite, tensor_names, write_model
from .node import Layer, RejectionError, Temporary, attributes_of
from .operators import CONVERSIONS, supported_operators
from .schema_form import in_schema_form
from .summary import ModelSummary, OperatorSummary, summarize
from .writer import builtin_results, tensor_label

__all__ = [
    "CONVERSIONS",
    "Emitter",
    "Graph",
    "Layer",
    "ModelSummary",
    "Operator",
    "OperatorSummary",
    "RejectionError",
    "Source",
    "Temporary",
    "Tensor",
    "attributes_of",
    "builtin_results",
    "from_tflite",
    "in_schema_form",
    "source_of",
    "summarize",
    "supported_operators",
    "tensor_label",
    "tensor_names",
    "write_model",
]
