"""Targets with an NPU: what they imply, and what cannot be."""

from __future__ import annotations

import pytest

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target import NpuConfig, list_npus, parse_target

U55 = "tinyml -mcpu=cortex-m55 -npu=ethos-u55-128"


@pytest.mark.parametrize("npu", list_npus(), ids=lambda npu: npu.name)
def test_every_memory_mode_has_a_canonical_string(npu: NpuConfig) -> None:
    for mode in npu.memory_modes:
        config = parse_target(f"tinyml -mcpu=cortex-m0 -npu={npu.name} -npu-memory={mode} -npu-ignore=b,a")
        assert parse_target(str(config)) == config
        assert config.npu_ignore == ("A", "B")
        assert config.alignment == 16
        assert config.rounding == "tflm"
    assert parse_target(f"tinyml -mcpu=host -npu={npu.name}").npu_memory == npu.memory_modes[0]


def test_the_rounding_of_the_core_can_be_asked_for() -> None:
    config = parse_target(f"{U55} -rounding=litert")
    assert config.rounding == "litert"
    assert parse_target(str(config)) == config
    assert parse_target("tinyml -mcpu=cortex-m55").rounding == "litert"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("-mcpu=cortex-m55 -npu=ethos-u55-100", "valid: ethos-u55-32"),
        (f"{U55[7:]} -npu-memory=dedicated-sram", "valid: shared-sram, sram-only"),
        ("-mcpu=rv32imc -npu=ethos-u55-128", "not with rv32imc"),
        ("-mcpu=cortex-m55 -npu-ignore=SOFTMAX", "there is no -npu="),
        (f"{U55[7:]} -input=rows", "streams on the CPU"),
    ],
)
def test_what_cannot_be_is_refused(words: str, named: str) -> None:
    with pytest.raises(TargetError, match=named):
        parse_target(f"tinyml {words}")
