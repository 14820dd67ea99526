"""Frontends: a model file becomes a Relax module of dialect operators."""

from __future__ import annotations

from .tflite import from_tflite, tensor_names

__all__ = ["from_tflite", "tensor_names"]
