"""TensorIR to C: functions, constants, entry point, project folder and Model Library Format archive."""

from __future__ import annotations

from .layer import Layer
from .model import LoweredModel, TensorInfo
from .project import project_files, write_folder, write_model_library

__all__ = ["Layer", "LoweredModel", "TensorInfo", "project_files", "write_folder", "write_model_library"]
