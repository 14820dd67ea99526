"""Both spellings of the facade, `from tvm import relay` and `from tvm_tinyml import relay`, are one interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.python_process import output_of

DIGITS = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"


@pytest.mark.parametrize(
    "spelling",
    [
        "from tvm import relay",
        "import tvm.relay as relay",
        "import tvm.relay.frontend; import tvm; relay = tvm.relay",
    ],
)
def test_every_spelling_is_the_same_facade(spelling: str) -> None:
    printed = output_of(
        f"""
        {spelling}
        import tvm_tinyml.frontend
        import tvm_tinyml.relay
        print(relay.build is tvm_tinyml.relay.build)
        print(relay.frontend.from_tflite is tvm_tinyml.frontend.from_tflite)
        """
    )
    assert printed.split() == ["True", "True"]


def test_a_script_compiles_a_model() -> None:
    printed = output_of(
        f"""
        import tvm.relay as relay
        mod, params = relay.frontend.from_tflite({str(DIGITS)!r})
        target = "tinyml -mcpu=cortex-m55 -without=PatchInference"
        module = relay.build(mod, target=target, params=params, executor="aot", runtime="crt")
        print(module.name, module.config, sorted(module.files)[0])
        """
    )
    assert printed.split() == [
        *("digits", "tinyml", "-mcpu=cortex-m55", "-without=PatchInference", "CMakeLists.txt")
    ]


def test_both_spellings_give_the_same_objects() -> None:
    printed = output_of(
        """
        from tvm import relay as published
        from tvm_tinyml import relay as own
        from tvm.relay.frontend import from_tflite
        from tvm.relay import *
        print(published.build is own.build is build, from_tflite is own.frontend.from_tflite is frontend.from_tflite)
        print({*own.__all__} <= {*dir(published)})
        """
    )
    assert printed.split() == ["True", "True", "True"]


def test_the_facade_works_without_the_entry_point() -> None:
    printed = output_of(
        f"""
        from tvm_tinyml import relay
        mod, _ = relay.frontend.from_tflite({str(DIGITS)!r})
        print(relay.build(mod, target="tinyml -mcpu=cortex-m4 -without=PatchInference").name)
        """,
        TVM_DEVICE_BACKEND_AUTOLOAD="0",
    )
    assert printed.strip() == "digits"


def test_a_name_the_facade_lacks_is_an_attribute_error() -> None:
    printed = output_of(
        """
        from tvm import relay
        print(hasattr(relay, "build"), hasattr(relay, "vm"))
        """
    )
    assert printed.split() == ["True", "False"]
