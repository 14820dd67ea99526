"""Constants as C arrays: weights, biases and requantisation tables of one model in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tvm_tinyml.dialect.relax_api import Array

# Word loads of packed weights and vector loads both find their operands aligned.
CONSTANT_ALIGNMENT = 16
LINE_WIDTH = 110
_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
}


def c_type(dtype: str) -> str:
    """C type of a NumPy element type; KeyError for one that no operator produces."""
    return _C_TYPES[dtype]


def _declaration(name: str, value: Array) -> str:
    return f"const {c_type(str(value.dtype))} {name}[{value.size}]"


def declarations(constants: Mapping[str, Array]) -> str:
    """External declarations of all constants, one per line."""
    return "\n".join(f"extern {_declaration(name, value)};" for name, value in constants.items())


def definitions(constants: Mapping[str, Array]) -> str:
    """Definitions of all constants, values wrapped at the house's line length."""
    return "\n\n".join(
        f"/* shape {list(value.shape)} */\n"
        f"TINYML_CONSTANT {_declaration(name, value)} = {{\n{_values(value)}\n}};"
        for name, value in constants.items()
    )


def _values(value: Array) -> str:
    flat = value.ravel()
    if value.dtype == np.float32:
        texts = [f"{float(item).hex()}f" for item in flat]
    elif value.dtype == np.int32:
        # The most negative int32 has no literal of its own in C.
        texts = [str(item) if item > -(2**31) else "INT32_MIN" for item in flat.tolist()]
    else:
        texts = [str(item) for item in flat.tolist()]
    width = max(len(text) for text in texts) + 2
    per_line = max(1, (LINE_WIDTH - 4) // width)
    return "\n".join(
        "    " + ", ".join(texts[start : start + per_line]) + "," for start in range(0, len(texts), per_line)
    )
