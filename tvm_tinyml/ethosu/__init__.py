"""Arm Ethos-U: command streams made by Vela, and a functional model that runs those of U55 and U65 without an NPU.

The model is written from the public definitions of the package ethos-u-vela. `runtime_c/ethosu` is the same model in C,
behind the interface of Arm's driver.
"""

from tvm_tinyml.ethosu.errors import CommandStreamError
from tvm_tinyml.ethosu.machine import run
from tvm_tinyml.ethosu.network import ACCELERATORS, CompiledNetwork, compile_network
from tvm_tinyml.ethosu.vela import Estimate, Setup, run_vela

__all__ = [
    "ACCELERATORS",
    "CommandStreamError",
    "CompiledNetwork",
    "Estimate",
    "Setup",
    "compile_network",
    "run",
    "run_vela",
]
