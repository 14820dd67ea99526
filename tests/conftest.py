"""Tests compile the same few models for the same few targets over and over; here each process does so once.

What is shared is the result of the compiler for a module and a target, which nothing changes afterwards. Tests of the
compiler have no part in it: those of folders that are not listed here, and those that compile to see whether the result
is the same again (`compiles_anew`).

Nothing of what is imported for the tests is ever garbage, so nobody looks for some in it.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Generator
from typing import Any

import pytest
from tvm_ffi.structural import StructuralKey

import tvm_tinyml.module
import tvm_tinyml.pipeline
from tvm_tinyml.pipeline import Compiled, compile_module

KEPT = 48
"""Compiled models, at most."""

SHARING = frozenset({"cli", "codegen", "e2e", "firmware", "memory", "models", "profile", "runner"})
"""Folders of tests that ask what is done with compiled models, not how they come about."""

_compiled: OrderedDict[Any, Compiled] = OrderedDict()
_test: pytest.Item | None = None


def _shared(module: Any, config: Any, **options: Any) -> Compiled:
    """`compile_module`, once for equal arguments where the test allows it."""
    if config.npu is not None or options.get("count") is not None or not _may_share():
        return compile_module(module, config, **options)
    patch, keep_all = options.get("patch"), options.get("keep_all", False)
    # Targets of equal code keys get the same code (tests/codegen).
    key = StructuralKey(module["main"]), config.code_key, patch and patch.to_json(), keep_all
    if key not in _compiled:
        _compiled[key] = compile_module(module, config, **options)
    _compiled.move_to_end(key)
    while len(_compiled) > KEPT:
        _compiled.popitem(last=False)
    return _compiled[key]


def _may_share() -> bool:
    """Whether the test that runs takes the compiler as it is."""
    if _test is None or "compiles_anew" in getattr(_test, "fixturenames", ()):
        return False
    return not SHARING.isdisjoint(_test.path.relative_to(_test.config.rootpath).parts)


for user in (tvm_tinyml.module, tvm_tinyml.pipeline):
    setattr(user, compile_module.__name__, _shared)


gc.disable()


def pytest_collection_finish() -> None:
    """From here on there is garbage, in what is not there yet."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def compiles_anew() -> None:
    """For tests of the compiler itself."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say which test runs."""
    global _test
    _test = item
    try:
        return (yield)
    finally:
        _test = None
