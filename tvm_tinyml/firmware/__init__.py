"""Firmware projects around generated C: what users of make, CMake, Arduino, CMSIS packs and Zephyr expect to find.

A project is the generated files laid out for a build system, what that system needs to know, and a program that runs
the model once: its self-test, where a model can have one.
"""

from __future__ import annotations

from .generated import Generated
from .kinds import KINDS, project_layout, project_marker
from .zephyr_run import zephyr_run_project

__all__ = ["KINDS", "Generated", "project_layout", "project_marker", "zephyr_run_project"]
