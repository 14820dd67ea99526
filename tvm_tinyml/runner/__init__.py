"""Runners: build a generated project and execute it on the host or on an emulated board."""

from __future__ import annotations

from tvm_tinyml.runner.host import HostModel
from tvm_tinyml.runner.qemu import run_qemu
from tvm_tinyml.runner.report import FlashReport, LayerCount, RunReport
from tvm_tinyml.runner.zephyr import require_zephyr, run_zephyr, zephyr_board

__all__ = [
    "FlashReport",
    "HostModel",
    "LayerCount",
    "RunReport",
    "require_zephyr",
    "run_qemu",
    "run_zephyr",
    "zephyr_board",
]
