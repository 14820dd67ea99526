"""Targets as TVM sees them: tags, Target objects and back."""

from __future__ import annotations

from typing import Any

import pytest

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target import list_cores, parse_target, register_tags

tvm: Any = pytest.importorskip("tvm")

CORES = [core.name for core in list_cores()]


def test_tags_can_be_registered_twice() -> None:
    assert register_tags() == tuple(f"tinyml/{name}" for name in CORES)
    assert register_tags() == tuple(f"tinyml/{name}" for name in CORES)


@pytest.mark.parametrize("core", CORES)
def test_registered_tag_is_a_c_target_that_parses_to_the_core(core: str) -> None:
    register_tags()
    target = tvm.target.Target(f"tinyml/{core}")
    assert target.kind.name == "c"
    assert str(target.attrs["mcpu"]) == core
    assert "tinyml" in target.keys
    assert parse_target(target) == parse_target(f"tinyml -mcpu={core}")


@pytest.mark.parametrize(
    "spec",
    [
        *(f"tinyml -mcpu={core}" for core in CORES),
        "tinyml -mcpu=cortex-m7 -board=stm32f746g-disco -ram=64K -rounding=tflm",
        "tinyml -mcpu=cortex-m0plus -flash=128K -io=caller",
    ],
)
def test_target_object_carries_every_option(spec: str) -> None:
    config = parse_target(spec)
    assert parse_target(config.tvm_target()) == config
    assert parse_target(dict(config.tvm_target().export())) == config


def test_plain_c_target_with_a_core_is_understood() -> None:
    target = tvm.target.Target({"kind": "c", "mcpu": "cortex-m4"})
    assert parse_target(target) == parse_target("tinyml -mcpu=cortex-m4")


def test_tvm_derives_the_same_features_as_the_data_files() -> None:
    for core in list_cores():
        attributes = parse_target(f"tinyml -mcpu={core.name}").tvm_target().attrs
        for feature in ("dsp", "mve"):
            assert bool(attributes.get(f"feature.has_{feature}", False)) == (feature in core.features)


@pytest.mark.parametrize(
    "fields",
    [{"kind": "llvm"}, {"kind": "c"}, {"kind": "c", "mcpu": "cortex-a53"}, {"kind": "c", "march": "x"}],
)
def test_other_tvm_targets_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(TargetError):
        parse_target(tvm.target.Target(fields))
