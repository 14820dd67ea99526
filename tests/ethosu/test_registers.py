"""Numbers of commands, registers and modes are those of the public definitions."""

from __future__ import annotations

import importlib
from enum import IntEnum

import pytest

from tvm_tinyml.ethosu import registers

vela = pytest.importorskip(
    "ethosu.vela.ethos_u55_regs.ethos_u55_regs", reason="ethos-u-vela is not installed"
)


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (registers.Command, "cmd0", "NPU_OP_"),
        (registers.Register, "cmd0", "NPU_SET_"),
        (registers.WideRegister, "cmd1", "NPU_SET_"),
        (registers.Pooling, "pooling_mode", ""),
        (registers.Elementwise, "elementwise_mode", ""),
        (registers.Rounding, "rounding", ""),
    ],
)
def test_numbers_are_those_of_the_definitions(ours: type[IntEnum], theirs: str, prefix: str) -> None:
    definitions = {
        entry.name: entry.value for entry in getattr(vela, theirs) if entry.name.startswith(prefix)
    }
    assert {prefix + entry.name: entry.value for entry in ours} == definitions


def test_the_c_port_has_the_same_numbers() -> None:
    text = importlib.import_module("tests.ethosu.c_port").HEADER.read_text()
    for kind, offset in ((registers.Register, 0x100), (registers.WideRegister, 0)):
        found = importlib.import_module("tests.ethosu.c_port").enumerators(text, kind)
        assert found
        for name, value in found.items():
            assert kind[name].value - offset == value, name
