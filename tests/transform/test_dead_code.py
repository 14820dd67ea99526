"""DeadCode: what no output depends on."""

from __future__ import annotations

from tests.transform.building import ModuleBuilder, assert_becomes, assert_unchanged, identity_table
from tvm_tinyml.transform import DeadCode


def test_unused_calls_go_with_everything_only_they_need() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    data = before.parameter(1, 5, 4, 3)
    unused = before.conv2d(data)
    kept = before.lookup(data, ~identity_table(), name="kept", tensor="kept")
    before.call("copy", unused)
    source = before.module(kept)
    data = after.parameter(1, 5, 4, 3)
    assert_becomes(
        source, DeadCode(), after.module(after.lookup(data, ~identity_table(), name="kept", tensor="kept"))
    )


def test_what_outputs_need_stays() -> None:
    builder = ModuleBuilder()
    data = builder.parameter(1, 5, 4, 3)
    first = builder.conv2d(data)
    second = builder.lookup(first, ~identity_table())
    assert_unchanged(builder.module(builder.call("maximum", first, second)), DeadCode())


def test_unused_parameters_stay() -> None:
    """They are the model's inputs."""
    builder = ModuleBuilder()
    builder.parameter(4)
    assert_unchanged(builder.module(builder.lookup(builder.parameter(4), ~identity_table())), DeadCode())
