"""PyTorch to Relax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..naming import DEFAULT_NAME
from ..qdq import import_network

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def from_pytorch(
    exported_program: ExportedProgram, name: str = DEFAULT_NAME, *, float_edges: bool = True
) -> tuple[Any, dict[str, Any]]:
    """Import a quantised module, exported with `torch.export.export` after `convert_pt2e`.

    Args:
        exported_program: one whose operators lie between quantisations, as `tvm_tinyml.torch.TinyMLQuantizer`
            asks for; other quantizers do as well as long as activations are int8 or uint8 per tensor and weights
            int8 and symmetric.
        name: of the model, a C identifier.
        float_edges: keep float inputs and outputs; False: they are int8, in the quantisation next to them.

    Returns:
        (mod, params) as `from_tflite` does. Images are NHWC in the module, inputs and outputs included.

    Raises:
        UnsupportedError: operators that have no integer form, all of them listed.
    """
    from .reader import read_network

    return import_network(read_network(exported_program, name), float_edges=float_edges), {}
