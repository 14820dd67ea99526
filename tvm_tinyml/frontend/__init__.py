"""Frontends: a model file becomes a Relax module of dialect operators."""

from __future__ import annotations

from .files import from_file
from .onnx import from_onnx
from .pytorch import from_pytorch
from .tflite import from_tflite, tensor_names

__all__ = ["from_file", "from_onnx", "from_pytorch", "from_tflite", "tensor_names"]
