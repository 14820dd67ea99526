"""What a model's outputs should be: LiteRT's reference kernels where they are installed, else the dialect's own.

LiteRT is the definition of exact for its own rounding; under any other declared rounding, and without the
`oracle` extra, the NumPy semantics of the dialect decide. The caller is told which one answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .dialect.evaluate import evaluate
from .dialect.relax_api import Array
from .errors import RunError
from .transform import ApplyRounding

LITERT = "litert"
NUMPY = "numpy"


def reference_outputs(
    module: Any, model: Path | None, inputs: Sequence[Array], rounding: str
) -> tuple[str, list[Array]]:
    """Name of the reference, "litert" or "numpy", and its outputs in the model's order.

    module: the imported Relax module; model: the TFLite file it came from, if it was one.
    inputs: one array per model input, in order.
    Raises RunError when LiteRT refuses the model.
    """
    if model is not None and rounding == "litert" and find_spec("ai_edge_litert") is not None:
        return LITERT, _litert(model, inputs)
    return NUMPY, evaluate(ApplyRounding(rounding)(module), inputs).outputs


def _litert(model: Path, inputs: Sequence[Array]) -> list[Array]:
    from ai_edge_litert import interpreter as litert

    try:
        interpreter = litert.Interpreter(
            model_path=str(model), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    except (RuntimeError, ValueError) as error:
        raise RunError(f"{model}: LiteRT, the reference, cannot run it: {error}") from error
