"""What of a model runs where, and what Vela estimates for its part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..ethosu import CompiledNetwork


@dataclass(frozen=True)
class Network:
    """One network on the NPU.

    layer: name of the layer that calls it. operators: those of the model file that it computes.
    """

    layer: str
    operators: tuple[str, ...]
    compiled: CompiledNetwork

    def describe(self) -> dict[str, Any]:
        """The network as plain data; sizes in bytes."""
        estimate = self.compiled.estimate
        return {
            "layer": self.layer,
            "operators": list(self.operators),
            "command_bytes": len(self.compiled.payload),
            "weight_bytes": len(self.compiled.constants),
            "scratch_bytes": sum(self.compiled.scratch.values()),
            "estimated_by_vela": None if estimate is None else asdict(estimate),
        }


@dataclass(frozen=True)
class Placement:
    """Where the operators of a model run.

    accelerator, memory: the NPU and its memory mode.
    networks: those on the NPU, in the order of their calls.
    on_cpu: operators of the model file that stay on the CPU, and why.
    warnings: for whoever compiles the model.
    """

    accelerator: str
    memory: str
    networks: tuple[Network, ...]
    on_cpu: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """The placement as plain data."""
        return {
            "accelerator": self.accelerator,
            "memory": self.memory,
            "networks": [network.describe() for network in self.networks],
            "on_cpu": [{"operator": name, "reason": reason} for name, reason in self.on_cpu.items()],
            "warnings": list(self.warnings),
        }
