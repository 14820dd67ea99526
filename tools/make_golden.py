"""Record what LiteRT's reference kernels answer for the digits model: golden vectors for demo and tests.

Reads digits.tflite and digits_test.npz (written by train_digits.py), quantises the held-out images to the
model's input and stores them with their labels and LiteRT's outputs in digits_golden.npz:

    images        int8   [n, 16, 16, 1]   ready to be copied into the model's input
    labels        uint8  [n]
    outputs       int8   [n, 10]          LiteRT, OpResolverType.BUILTIN_REF
    model_sha256  str                     the model these outputs belong to

The reference kernels, not the optimised ones, define bit-exactness: the two differ on real models. Runs in
the development environment (extra `oracle`, ai-edge-litert 2.3.0): `.venv/bin/python tools/make_golden.py`.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"
GREY_LEVELS = 16.0

Int8 = npt.NDArray[np.int8]


def quantize_images(images: npt.NDArray[np.uint8], scale: float, zero_point: int) -> Int8:
    """Quantise grey levels 0..16 (real values 0..1) with the model's input parameters; the shape is kept."""
    quantized = np.round(images / GREY_LEVELS / scale) + zero_point
    return np.clip(quantized, -128, 127).astype(np.int8)


def reference_outputs(model: Path, images: npt.NDArray[np.uint8]) -> tuple[Int8, Int8]:
    """Run `model` with LiteRT's reference kernels on grey-level images [n, 16, 16, 1].

    Returns the quantised images [n, 16, 16, 1] and the outputs [n, 10].
    """
    interpreter = Interpreter(str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    quantized = quantize_images(images, *source["quantization"])
    outputs = []
    for image in quantized:
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(sink["index"])[0])
    return quantized, np.stack(outputs)


def main() -> None:
    """Write digits_golden.npz and print the accuracy over the held-out images."""
    parser = argparse.ArgumentParser(description="Record LiteRT's outputs for the digits model.")
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="folder of digits.tflite and digits_test.npz"
    )
    folder: Path = parser.parse_args().models

    model = folder / "digits.tflite"
    with np.load(folder / "digits_test.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    quantized, outputs = reference_outputs(model, images)
    correct = int((outputs.argmax(axis=1) == labels).sum())
    np.savez_compressed(
        folder / "digits_golden.npz",
        images=quantized,
        labels=labels,
        outputs=outputs,
        model_sha256=np.array(hashlib.sha256(model.read_bytes()).hexdigest()),
    )
    print(f"int8 accuracy on {len(labels)} held-out images: {correct / len(labels):.4f} ({correct} right)")


if __name__ == "__main__":
    main()
