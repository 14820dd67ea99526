"""What the commands say of a model of which an NPU computes a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .common import print_facts, print_table

_NETWORK = "ethosu"


def print_placement(description: Mapping[str, Any]) -> None:
    """Tables of what runs where; nothing without an NPU. `description`: the project's metadata."""
    placement = description["npu"]
    if placement is None:
        return
    rows = [
        (
            network["layer"],
            len(network["operators"]),
            network["command_bytes"],
            network["weight_bytes"],
            network["scratch_bytes"],
            _estimate(network, "cycles"),
            _estimate(network, "sram_bytes"),
        )
        for network in placement["networks"]
    ]
    columns = ("network", "operators", "commands", "weights", "memory", "est. cycles", "est. SRAM")
    print_table(
        f"On {placement['accelerator']} ({placement['memory']}); estimates by Vela, sizes in bytes",
        columns,
        rows,
    )
    if placement["on_cpu"]:
        print_table(
            "On the CPU",
            ("operator", "reason"),
            [(one["operator"], one["reason"]) for one in placement["on_cpu"]],
        )
    for warning in placement["warnings"]:
        click.echo(f"warning: {warning}")
    print_facts(
        {
            "NPU, estimated by Vela (cycles)": npu_cycles(placement),
            "CPU, estimated (instructions)": _cpu_instructions(description["layers"]),
        }
    )


def npu_cycles(placement: Mapping[str, Any]) -> int | None:
    """Cycles of all networks as Vela estimates them; None where it did not."""
    found = [_estimate(network, "cycles") for network in placement["networks"]]
    return None if None in found else sum(one for one in found if one is not None)


def npu_facts(placement: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a run says of the two parts; `placement` with their figures."""
    if placement is None:
        return {}
    return {
        "networks on the NPU": f"{len(placement['networks'])}, run by the functional model, which was counted",
        "NPU, estimated by Vela (cycles)": placement["estimated_npu_cycles"],
        "CPU part (instructions)": placement["cpu_instructions"],
        "CPU part, estimated (cycles)": placement["estimated_cpu_cycles"],
    }


def on_cpu(layers: Sequence[Mapping[str, Any]], figures: Sequence[Mapping[str, Any]], figure: str) -> int:
    """Sum of a figure over the layers that run on the CPU."""
    return sum(
        int(one[figure]) for layer, one in zip(layers, figures, strict=True) if layer["operator"] != _NETWORK
    )


def _estimate(network: Mapping[str, Any], figure: str) -> int | None:
    estimate = network["estimated_by_vela"]
    return None if estimate is None else int(estimate[figure])


def _cpu_instructions(layers: Sequence[Mapping[str, Any]]) -> int:
    """By the schedules' own estimates; layers without one are left out."""
    taken = (one for layer in layers for one in layer["alternatives"] if one["taken"])
    return sum(one["instructions"] or 0 for one in taken)
