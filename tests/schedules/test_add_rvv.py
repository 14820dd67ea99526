"""RVV sums on the emulated core: equal to the dialect on all pairs of operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.schedules import Problem
from tvm_tinyml.schedules.add_rvv import schedule_add_rvv


def attributes(generator: np.random.Generator) -> dict[str, Any]:
    """Attributes of a sum as an importer makes them, for random scales."""
    zero_points = generator.choice(np.arange(-128, 128), 3)
    low = int(zero_points[2]) if generator.random() < 0.3 and zero_points[2] < 127 else -128
    attrs: dict[str, Any] = {
        "zero_point": int(zero_points[2]),
        "a_zero_point": int(zero_points[0]),
        "b_zero_point": int(zero_points[1]),
        "left_shift": 20,
        "a_multiplier": int(generator.integers(2**30, 2**31 - 1)),
        "a_shift": -int(generator.integers(0, 4)),
        "b_multiplier": 2**30,
        "b_shift": 0,
        "multiplier": int(generator.integers(2**30, 2**31 - 1)),
        "shift": -int(generator.integers(16, 21)),
        "clamp_min": low,
        "clamp_max": 127,
    }
    if generator.random() < 0.5:
        attrs |= {f"a_{name}": attrs[f"b_{name}"] for name in ("multiplier", "shift")} | {
            f"b_{name}": attrs[f"a_{name}"] for name in ("multiplier", "shift")
        }
    return attrs


def all_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Every pair of int8 values."""
    values = np.arange(-128, 128, dtype=np.int8)
    return np.repeat(values, 256), np.tile(values, 256)


def without_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no layer be a line, and take only the rule under test."""
    monkeypatch.setattr("tvm_tinyml.schedules.add_rvv.fit_sum", lambda _name, _attrs: None)
    monkeypatch.setattr("tvm_tinyml.schedules.RULES", (schedule_add_rvv,))


def test_all_pairs_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    without_lines(monkeypatch)
    generator = np.random.default_rng(6)
    a, b = all_pairs()
    cases = [LayerCase(name, (a, b), attributes(generator), 2) for name in ("add", "sub") for _ in range(4)]
    cases += [LayerCase("add", (a[:n], b[-n:]), attributes(generator), 2) for n in (1, 31, 33, 100)]
    module = assert_layers_exact(cases, TARGET)
    assert {layer.schedule for layer in module.compiled.model.layers} == {"RVV add", "RVV sub"}


def test_broadcast_sums_and_other_cores_are_left_alone() -> None:
    attrs = attributes(np.random.default_rng(0))

    def problem(shapes: dict[str, tuple[int, ...]], features: frozenset[str]) -> Problem:
        return Problem("add", shapes, {}, attrs, (2, 3), features, lambda: None)

    assert schedule_add_rvv(problem({"a": (2, 3), "b": (3,)}, frozenset({"rvv"}))) is None
    assert schedule_add_rvv(problem({"a": (2, 3), "b": (2, 3)}, frozenset())) is None


def test_instructions_per_element(monkeypatch: pytest.MonkeyPatch) -> None:
    without_lines(monkeypatch)
    a, b = all_pairs()
    case = LayerCase("add", (a, b), attributes(np.random.default_rng(1)), 2)
    _, report = build_layers([case], TARGET).run([a, b], profile=True)
    assert report.layers[0].instructions <= 1.3 * a.size
