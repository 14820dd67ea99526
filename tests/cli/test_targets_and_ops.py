"""`targets` and `ops` list everything there is, for people and for programs."""

from __future__ import annotations

import pytest

from tests.cli.invocation import succeed
from tvm_tinyml.cli.targets import MEANINGS
from tvm_tinyml.dialect import operators
from tvm_tinyml.frontend.tflite import supported_operators
from tvm_tinyml.target import OPTIONS, list_boards, list_cores, list_npus, parse_target


def test_targets_as_a_table_names_every_core_board_and_option() -> None:
    text = succeed("targets").stdout
    for listed in (list_cores(), list_boards(), list_npus()):
        assert all(f" {one.name} " in text for one in listed)
    for option in OPTIONS:
        assert f"-{option}=" in text


def test_targets_as_json() -> None:
    document = succeed("targets", "--json").document
    assert set(document) == {"cores", "boards", "npus", "options"}
    assert document["npus"]["ethos-u65-256"]["memory_modes"][0] == "dedicated-sram"
    assert list(document["cores"]) == [core.name for core in list_cores()]
    assert document["cores"]["cortex-m55"]["features"] == ["dsp", "fpu", "mve"]
    assert document["cores"]["cortex-m55"]["default_board"] == "mps3-an547"
    assert list(document["boards"]) == [board.name for board in list_boards()]
    assert document["boards"]["microbit"]["ram_bytes"] == 16 * 1024
    assert {region["kind"] for region in document["boards"]["microbit"]["memory"]} == {"rom", "ram"}
    assert list(document["options"]) == list(OPTIONS)


@pytest.mark.parametrize("option", [name for name, (_, values) in MEANINGS.items() if values])
def test_listed_values_are_those_a_target_takes(option: str) -> None:
    for value in MEANINGS[option][1]:
        npu = " -npu=ethos-u65-256" if option == "npu-memory" else ""
        parse_target(f"tinyml -mcpu=cortex-m4 -{option}={value}{npu}")


def test_ops_as_a_table() -> None:
    text = succeed("ops").stdout
    for name in (*supported_operators(), *(operator.relax_name for operator in operators().values())):
        assert f" {name} " in text


def test_ops_as_json() -> None:
    document = succeed("ops", "--json").document
    assert set(document) == {"tflite", "onnx", "dialect"}
    assert {"Conv", "QLinearConv", "DequantizeLinear"} <= set(document["onnx"])
    assert document["tflite"] == sorted(supported_operators())
    assert {"CONV_2D", "SOFTMAX", "ARG_MAX"} <= set(document["tflite"])
    by_name = {row["name"]: row for row in document["dialect"]}
    assert set(by_name) == {operator.relax_name for operator in operators().values()}
    assert by_name["tinyml.add"]["arguments"] == ["a", "b"]
    assert by_name["tinyml.reshape"]["is_view"] is True
    assert all(row["meaning"] for row in document["dialect"])
