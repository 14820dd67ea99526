"""Files of Vela are read without trust, and inputs are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ethosu.networks import compiled
from tests.support.single_ops import all_cases
from tvm_tinyml.errors import ModelError
from tvm_tinyml.ethosu import CommandStreamError, CompiledNetwork, compile_network, run

DIGITS = Path(__file__).parents[1] / "models" / "digits.tflite"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty.npz", b""), ("text.npz", b"not an archive"), ("half.npz", b"PK\x03\x04")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name):
            CompiledNetwork.load(path)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ModelError, match="cmd_data"):
        CompiledNetwork.load(tmp_path / "other.npz")


def test_inputs_of_another_size_are_refused() -> None:
    network = compiled(DIGITS.read_bytes(), "ethos-u55-64")
    assert network is not None
    with pytest.raises(CommandStreamError, match="1 inputs, not 0"):
        network.run([])
    with pytest.raises(CommandStreamError, match="takes 256"):
        network.run([np.zeros(255, np.int8)])


def test_what_vela_leaves_to_the_cpu_is_named() -> None:
    (case,) = [case for case in all_cases() if case.operator == "DEQUANTIZE"][:1]
    with pytest.raises(ModelError, match="DEQUANTIZE"):
        compile_network(case.model_bytes, "ethos-u55-128")


@pytest.mark.parametrize(
    ("accelerator", "reason"), [("ethos-u65-512", "not of 512"), ("ethos-u85-128", "Ethos-U55 and Ethos-U65")]
)
def test_other_npus_are_refused(accelerator: str, reason: str) -> None:
    network = compiled(DIGITS.read_bytes(), accelerator)
    assert network is not None
    with pytest.raises(CommandStreamError, match=reason):
        run(network.payload, {})
