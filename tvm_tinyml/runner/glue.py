"""harness_model.h: tells the C harness (runtime_c/boards/common/harness.c) which model it runs.

With io=arena every tensor lies in the arena and the entry function takes the arena alone; with io=caller the
harness keeps the tensors in one buffer of its own and passes their addresses after the arena's. Inputs that the
model fetches stay in the harness's input file: it reads from there what is asked for.
"""

from __future__ import annotations

from tvm_tinyml.runner.project import Project, TensorInfo

BOARD_REGISTER_ARGUMENTS = 8
"""Words the call trampolines always load: BOARD_REGISTER_ARGUMENTS of board.h."""


def caller_offsets(project: Project) -> tuple[list[int], int]:
    """Return the offset of each tensor in one buffer for io=caller, aligned as the arena, and its size.

    Inputs that are fetched take no room.
    """
    offsets = []
    size = 0
    for tensor in project.tensors:
        offsets.append(size)
        if tensor.pulled:
            continue
        size += -(-tensor.nbytes // project.arena_alignment) * project.arena_alignment
    return offsets, size


def harness_header(project: Project) -> str:
    """Return the text of harness_model.h for `project`."""
    offsets, buffer_bytes = caller_offsets(project)
    in_arena = project.io == "arena"
    places = [
        "0" if tensor.pulled else f"arena + {tensor.offset}" if in_arena else f"tensor_data + {offset}"
        for tensor, offset in zip(project.tensors, offsets, strict=True)
    ]
    arguments = ["arena"]
    for number, (tensor, place) in enumerate(zip(project.tensors, places, strict=True)):
        if tensor.pulled:
            arguments += [f"(const void *)harness_pull_{number}", f"&sources[{number}]"]
        elif not in_arena:
            arguments.append(place)
    rows = [f"{{{place}, {tensor.nbytes}u}}" for place, tensor in zip(places, project.tensors, strict=True)]
    inputs, outputs = rows[: len(project.inputs)], rows[len(project.inputs) :]
    sources = [f"{{{_pixel_bytes(tensor)}u, {_row_bytes(tensor)}u}}" for tensor in project.inputs]
    padding = ["0"] * (BOARD_REGISTER_ARGUMENTS - len(arguments))
    macros = {
        "MODEL_ENTRY": project.entry,
        "MODEL_ARENA_BYTES": str(max(project.arena_bytes, 1)),
        "MODEL_ARENA_ALIGNMENT": str(project.arena_alignment),
        "MODEL_TENSOR_BYTES": str(0 if in_arena else buffer_bytes),
        "MODEL_INPUTS": f"{{{', '.join(inputs)}}}",
        "MODEL_OUTPUTS": f"{{{', '.join(outputs)}}}",
        "MODEL_SOURCES": f"{{{', '.join(sources)}}}",
        "MODEL_PULLS": " ".join(
            _callback(project, number) for number, tensor in enumerate(project.inputs) if tensor.pulled
        ),
        "MODEL_ARGUMENTS": f"{{{', '.join([*arguments, *padding])}}}",
        "MODEL_ARGUMENT_COUNT": str(len(arguments)),
    }
    lines = ["/* Generated from metadata.json. */", f'#include "{project.model}.h"', ""]
    lines += [f"#define {name} {value}" for name, value in macros.items()]
    return "\n".join(lines) + "\n"


def _pixel_bytes(tensor: TensorInfo) -> int:
    """Bytes of one pixel of an input that is fetched; 0 for others."""
    return tensor.shape[-1] * tensor.dtype.itemsize if tensor.pulled else 0


def _row_bytes(tensor: TensorInfo) -> int:
    return _pixel_bytes(tensor) * tensor.shape[-2] if tensor.pulled else 0


def _callback(project: Project, number: int) -> str:
    """A callback of the type the model asks for, around the one that the harness has for all of them."""
    kind = "float" if project.inputs[number].dtype.kind == "f" else f"{project.inputs[number].dtype}_t"
    return (
        f"static int harness_pull_{number}(void *context, int32_t row, int32_t rows, int32_t column, "
        f"int32_t columns, {kind} *destination, int32_t pitch) "
        "{ return supply(context, row, rows, column, columns, (uint8_t *)destination, pitch); }"
    )
