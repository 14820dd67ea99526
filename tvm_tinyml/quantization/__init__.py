"""Post-training quantisation of float models: calibration data, what a layer loses, ONNX models (extra `quantize`)."""

from __future__ import annotations

from .calibration import FloatInput, samples_of
from .loss import LayerLoss, LossMeter, spread, worst_layers
from .onnx import quantize_onnx

__all__ = ["FloatInput", "LayerLoss", "LossMeter", "quantize_onnx", "samples_of", "spread", "worst_layers"]
