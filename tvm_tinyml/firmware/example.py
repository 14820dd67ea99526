"""A program that runs a model once, as C that is also C++: memory for the arena and for what lies outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .generated import Generated


def includes(model: Generated) -> str:
    """Headers of the model and of its self-test."""
    headers = [f"{model.name}.h", *([f"{model.name}_selftest.h"] if model.has_selftest else [])]
    return "\n".join(f'#include "{header}"' for header in headers)


def memory(model: Generated, section: str | None = None) -> str:
    """Definitions of `arena` and, where the model takes them as arguments, of buffers and callbacks.

    section: linker section of the arena.
    """
    placed = f', section("{section}")' if section else ""
    # C has no arrays of nothing; a model with buffers of the caller may need no arena.
    size = f"{model.upper}_ARENA_BYTES" if model.metadata["arena_bytes"] else "1"
    attributes = f"__attribute__((aligned({model.upper}_ARENA_ALIGNMENT){placed}))"
    return "\n".join([f"static uint8_t arena[{size}] {attributes};", *edges(model, NO_PIXELS)])


def arguments(model: Generated) -> str:
    """Arguments of the model's entry function."""
    named = ["arena"]
    for kind, index, tensor in numbered(model):
        if tensor.get("pulled"):
            named += [f"supply_{index}", "0"]
        elif model.metadata["io"] == "caller":
            named.append(f"{kind}_{index}")
    return ", ".join(named)


def check(model: Generated) -> str:
    """An expression that is 0 when the model did what it should."""
    if model.has_selftest:
        return f"{model.name}_selftest(arena)"
    return f"{model.name}_run({arguments(model)})"


def checked(model: Generated) -> str:
    """What `check` looks at, for a comment."""
    if model.has_selftest:
        return "the self-test: a checksum of the constants, and one inference compared with the reference"
    return "one inference on an input of zeros; it cannot fail"


def missing(model: Generated) -> str:
    """What an image needs that is not there where `runs_here` is not."""
    npu = ", Arm's ethos-u-core-driver and a function tinyml_npu_present" if model.calls_npu else ""
    return f"the start-up code and the linker script of your board{npu}"


def numbered(model: Generated) -> list[tuple[str, int, Mapping[str, Any]]]:
    """Inputs, then outputs: "input" or "output", its number, and its entry of the metadata."""
    return [
        (kind, index, tensor)
        for kind, tensors in (("input", model.metadata["inputs"]), ("output", model.metadata["outputs"]))
        for index, tensor in enumerate(tensors)
    ]


# The arena is zero before the model runs.
NO_PIXELS = """    /* The place of a camera or sensor: write the pixels that are asked for, see the model's header. */
    (void)context, (void)row, (void)rows, (void)column, (void)columns, (void)destination, (void)pitch;
    return 0;"""


def edges(model: Generated, body: str) -> list[str]:
    """Definitions of buffers that are arguments of the model, and of callbacks with a body for all of them."""
    lines = []
    for kind, index, tensor in numbered(model):
        c_type = "float" if tensor["dtype"] == "float32" else f"{tensor['dtype']}_t"
        if tensor.get("pulled"):
            lines.append(
                f"\nstatic int supply_{index}(void *context, int32_t row, int32_t rows, int32_t column,\n"
                f"    int32_t columns, {c_type} *destination, int32_t pitch)\n"
                f"{{\n{body.replace('@', str(index))}\n}}"
            )
        elif model.metadata["io"] == "caller":
            size = f"{model.upper}_{kind.upper()}_{index}_BYTES / sizeof({c_type})"
            lines.append(f"static {c_type} {kind}_{index}[{size}];")
    return lines
