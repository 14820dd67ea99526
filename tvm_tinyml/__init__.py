"""tvm-tinyml: an out-of-tree TVM extension that compiles int8 models to plain C for microcontrollers."""

from __future__ import annotations

__version__ = "0.1.0"
