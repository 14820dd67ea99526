"""What is there after `import tvm`, what is not, and what happens when a part of it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.python_process import output_of, run_script
from tvm_tinyml.target import SEARCH_PATH_VARIABLE, list_cores

HEAVY = (
    "scipy",
    "tflite",
    "click",
    "rich",
    "tvm_tinyml.cli",
    "tvm_tinyml.codegen",
    "tvm_tinyml.frontend",
    "tvm_tinyml.memory",
    "tvm_tinyml.relay",
    "tvm_tinyml.runner",
    "tvm_tinyml.schedules",
)


def test_every_core_is_a_target_tag() -> None:
    printed = output_of(
        """
        import tvm
        from tvm_tinyml.target import list_cores
        for core in list_cores():
            target = tvm.target.Target(f"tinyml/{core.name}")
            print(core.name, target.kind.name, target.attrs["mcpu"])
        """
    )
    assert printed.splitlines() == [f"{core.name} c {core.name}" for core in list_cores()]


def test_operators_are_registered_with_relax() -> None:
    printed = output_of(
        """
        import tvm
        names = [name for name in tvm.ir.Op.list_op_names() if name.startswith("tinyml.")]
        import tvm_tinyml.dialect
        assert set(names) == {operator.relax_name for operator in tvm_tinyml.dialect.operators().values()}
        print(len(names))
        """
    )
    assert int(printed) > 20


def test_import_tvm_leaves_the_heavy_modules_alone() -> None:
    printed = output_of(f"import tvm, sys; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert printed.strip() == "[]"


def test_asking_for_the_facade_does_not_import_it() -> None:
    printed = output_of(
        f"""
        import inspect, sys
        from tvm import relay
        import tvm.relay.frontend
        inspect.getmodule(inspect.currentframe())
        print([name for name in {HEAVY!r} if name in sys.modules])
        """
    )
    assert printed.strip() == "[]"


def test_tvm_is_untouched_when_autoload_is_switched_off() -> None:
    printed = output_of(
        """
        import sys
        import tvm
        print(hasattr(tvm, "relay"), "tvm.relay" in sys.modules, "tvm_tinyml" in sys.modules)
        print(sum(name.startswith("tinyml.") for name in tvm.ir.Op.list_op_names()))
        """,
        TVM_DEVICE_BACKEND_AUTOLOAD="0",
    )
    assert printed.split() == ["False", "False", "False", "0"]


def test_a_broken_target_file_is_a_warning_and_costs_only_the_tags(tmp_path: Path) -> None:
    broken = tmp_path / "cores" / "mine.toml"
    broken.parent.mkdir()
    broken.write_text("title = ")
    result = run_script(
        """
        import tvm
        print(hasattr(tvm, "relay"), "tinyml.conv2d" in tvm.ir.Op.list_op_names())
        """,
        **{SEARCH_PATH_VARIABLE: str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True", "True"]
    assert "RuntimeWarning: tvm-tinyml could not register its target tags" in result.stderr
    assert str(broken) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("missing", ["tvm_tinyml.dialect", "tvm_tinyml.target", "tvm_tinyml.plugin"])
def test_a_missing_module_is_a_warning(missing: str) -> None:
    result = run_script(
        f"""
        import sys
        sys.modules[{missing!r}] = None
        import tvm
        print("imported", tvm.__version__)
        """
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("imported")
    assert "tinyml" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_dependency_shows_when_it_is_needed() -> None:
    result = run_script(
        """
        import sys
        sys.modules["tflite"] = None
        from tvm import relay
        print("imported")
        relay.frontend.from_tflite("model.tflite")
        """
    )
    assert result.stdout.strip() == "imported"
    assert "tflite" in result.stderr.splitlines()[-1]


def test_a_second_autoload_changes_nothing() -> None:
    printed = output_of(
        """
        import tvm
        from tvm_tinyml.plugin import autoload
        first = tvm.relay
        autoload()
        print(tvm.relay is first)
        """
    )
    assert printed.strip() == "True"


def test_a_relay_that_tvm_has_itself_is_kept() -> None:
    printed = output_of(
        """
        import sys
        import types
        sys.modules["tvm.relay"] = own = types.ModuleType("tvm.relay")
        own.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("tvm.relay", None)
        import tvm
        print(sys.modules["tvm.relay"] is own, getattr(tvm, "relay", own) is own)
        """
    )
    assert printed.split() == ["True", "True"]
