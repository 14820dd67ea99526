"""Runners: build a generated project and execute it on the host or on an emulated board."""

from __future__ import annotations

from tvm_tinyml.runner.host import HostModel
from tvm_tinyml.runner.qemu import run_qemu
from tvm_tinyml.runner.report import FlashReport, LayerCount, RunReport

__all__ = ["FlashReport", "HostModel", "LayerCount", "RunReport", "run_qemu"]
