"""TensorIR to C: functions, constants, entry point, project folder and Model Library Format archive."""

from __future__ import annotations

from .block_verifier import verify_block
from .layer import Layer
from .model import LoweredModel, TensorInfo
from .overlap_verifier import verify_overlaps
from .project import project_files, write_folder, write_model_library
from .selftest_source import has_selftest, selftest_inputs

__all__ = [
    "Layer",
    "LoweredModel",
    "TensorInfo",
    "has_selftest",
    "project_files",
    "selftest_inputs",
    "verify_block",
    "verify_overlaps",
    "write_folder",
    "write_model_library",
]
