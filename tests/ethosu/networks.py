"""Networks compiled by Vela, and what they should compute: the dialect's semantics, rounded twice as the NPU does."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.oracle import random_inputs
from tvm_tinyml import relay
from tvm_tinyml.ethosu import CompiledNetwork
from tvm_tinyml.reference import reference_outputs

Array = npt.NDArray[Any]

pytest.importorskip("ethosu", reason="ethos-u-vela is not installed (pip install 'tvm-tinyml[ethosu]')")


# Starting Vela takes several times as long as a small model does.
_BATCH = """
import sys, traceback
from pathlib import Path
from ethosu.vela.vela import main
accelerator, folder, *models = sys.argv[1:]
for model in models:
    try:
        main([model, "--accelerator-config", accelerator, "--output-format", "raw", "--output-dir", folder])
    except RuntimeError as error:
        Path(model).with_suffix(".error").write_text(str(error))
"""


@cache
def compiled(model: bytes, accelerator: str) -> CompiledNetwork | None:
    """The network, or None where Vela leaves an operator to the CPU."""
    return next(compiled_all((model,), accelerator))


def compiled_all(models: Sequence[bytes], accelerator: str) -> Iterator[CompiledNetwork | None]:
    """The same for many models, in one process."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{number}.tflite" for number in range(len(models))]
        for path, model in zip(paths, models, strict=True):
            path.write_bytes(model)
        command = [sys.executable, "-c", _BATCH, accelerator, name, *map(str, paths)]
        subprocess.run(command, check=True, capture_output=True)
        for path in paths:
            error = path.with_suffix(".error")
            if error.exists():
                said = error.read_text()
                assert "CPU operations" in said or "parse TFLite" in said, said
                yield None
            else:
                yield CompiledNetwork.load(path.with_name(f"{path.stem}_vela.npz"))


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
