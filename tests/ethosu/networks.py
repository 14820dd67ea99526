"""Networks compiled by Vela, and what they should compute: the dialect's semantics, rounded twice as the NPU does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.oracle import random_inputs
from tvm_tinyml import relay
from tvm_tinyml.errors import ModelError
from tvm_tinyml.ethosu import CompiledNetwork, compile_network
from tvm_tinyml.reference import reference_outputs

Array = npt.NDArray[Any]

pytest.importorskip("ethosu", reason="ethos-u-vela is not installed (pip install 'tvm-tinyml[ethosu]')")


@cache
def compiled(model: bytes, accelerator: str) -> CompiledNetwork | None:
    """The network, or None where Vela leaves an operator to the CPU."""
    try:
        return compile_network(model, accelerator)
    except ModelError as error:
        if "CPU operations" not in str(error) and "parse TFLite" not in str(error):
            raise
        return None


def wrong_outputs(model: bytes, network: CompiledNetwork, seeds: range) -> int:
    """How many elements of the outputs differ, over random inputs."""
    module, _ = relay.frontend.from_tflite(model)
    wrong = 0
    for seed in seeds:
        inputs = random_inputs(model, seed)
        _, expected = reference_outputs(module, None, inputs, "tflm")
        for output, wanted in zip(network.run(inputs), expected, strict=True):
            wrong += int(np.count_nonzero(output.view(wanted.dtype) != wanted.reshape(-1)))
    return wrong
