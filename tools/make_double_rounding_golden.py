"""Record what a runtime that rounds every product twice answers: golden vectors of `-rounding=tflm`.

tflite-runtime 2.14 is the last packaged runtime whose FULLY_CONNECTED reference kernel rounds like gemmlowp and
TensorFlow Lite Micro; LiteRT has rounded once since. The script runs the single-operator FULLY_CONNECTED models
of the tests on it and writes tests/models/double_rounding_golden.npz:

    <case>/input    the model's first input
    <case>/output   what BUILTIN_REF of tflite-runtime 2.14 gives for it

FULLY_CONNECTED with per-channel weights is newer: that runtime reads the first scale for all, so those cases are left
out. Needs an environment of its own, because the
package wants an old NumPy: `pip install tflite-runtime==2.14.0 "numpy<2" tflite==2.18.0 pytest`, then
`python tools/make_double_rounding_golden.py` from the root of the checkout.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tflite_runtime.interpreter import Interpreter, OpResolverType

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "models"


def main() -> None:
    """Write double_rounding_golden.npz and say how many cases it holds."""
    sys.path.insert(0, str(ROOT))
    from tests.support.single_ops import fully_connected

    vectors: dict[str, npt.NDArray[np.int8]] = {}
    for case in fully_connected.cases():
        _record(vectors, case.id, case.model_bytes)
    np.savez_compressed(MODELS / "double_rounding_golden.npz", **vectors)  # type: ignore[arg-type]
    print(f"{len(vectors) // 2} cases")


def _record(vectors: dict[str, npt.NDArray[np.int8]], name: str, model: bytes) -> None:
    try:
        interpreter = Interpreter(
            model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        if any(len(t["quantization_parameters"]["scales"]) > 1 for t in interpreter.get_tensor_details()):
            return
        detail = interpreter.get_input_details()[0]
        value = np.random.default_rng(0).integers(-128, 128, detail["shape"]).astype(np.int8)
        interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        print(f"{name}: left out, {str(error).splitlines()[0]}")
        return
    vectors[f"{name}/input"] = value
    vectors[f"{name}/output"] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


if __name__ == "__main__":
    main()
