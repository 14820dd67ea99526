"""The explicit schema of target_configs/*.toml and its checker.

A file is refused with one TargetError naming the file and the key: unknown keys (with the valid ones),
missing keys, wrong types and values outside the stated choices. Checked tables hold every key of the schema,
with the default filled in where the file leaves an optional key out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tvm_tinyml.errors import TargetError
from tvm_tinyml.target.choices import require_choice
from tvm_tinyml.target.hardware import COMPILERS, FAMILIES, FEATURES, NPU_MEMORY_MODES, RUNNERS
from tvm_tinyml.target.sizes import parse_size

Kind = Literal["string", "integer", "boolean", "size", "strings", "table", "tables"]

_PYTHON_TYPES: dict[Kind, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "size": str,
    "strings": list,
    "table": dict,
    "tables": list,
}
_TOML_NAMES: dict[Kind, str] = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "size": 'a size string such as "64K"',
    "strings": "an array of strings",
    "table": "a table",
    "tables": "an array of tables",
}


@dataclass(frozen=True)
class Key:
    """One key of a table: its type, whether it must be there, its default and what values it may take."""

    kind: Kind
    required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = (1 << 32) - 1
    fields: Mapping[str, Key] = field(default_factory=dict)


COMPILER = {
    "flags": Key("strings", required=False, default=()),
    "optimization": Key("strings", required=False, default=()),
    "refused": Key("string", required=False, default=""),
}

CORE: Mapping[str, Key] = {
    "title": Key("string"),
    "family": Key("string", choices=FAMILIES),
    "features": Key("strings", choices=FEATURES),
    "alignment": Key("integer", minimum=1, maximum=64),
    "gcc": Key("string"),
    "llvm_triple": Key("string"),
    "compilers": Key("table", fields={name: Key("table", fields=COMPILER) for name in COMPILERS}),
    "default_compiler": Key("string", choices=COMPILERS),
    "c_library": Key("strings", required=False, default=()),
    "link_flags": Key("strings", required=False, default=None),
    "default_board": Key("string", required=False, default=None),
    "qemu_cpu": Key("string", required=False, default=""),
    "tvm_keys": Key("strings"),
    "notes": Key("string", required=False, default=""),
}

REGION: Mapping[str, Key] = {
    "name": Key("string"),
    "origin": Key("integer"),
    "length": Key("size"),
    "kind": Key("string", choices=("rom", "ram")),
}

QEMU: Mapping[str, Key] = {
    "binary": Key("string"),
    "machine": Key("string"),
    "icount_shift": Key("integer", maximum=10),
    "args": Key("strings", required=False, default=()),
    "cpu_from_core": Key("boolean", required=False, default=False),
}

BOARD: Mapping[str, Key] = {
    "title": Key("string"),
    "cores": Key("strings"),
    "runner": Key("string", choices=RUNNERS),
    "qemu": Key("table", required=False, default=None, fields=QEMU),
    "memory": Key("tables", required=False, default=(), fields=REGION),
    "notes": Key("string", required=False, default=""),
}

NPU: Mapping[str, Key] = {
    "title": Key("string"),
    "families": Key("strings", choices=FAMILIES),
    "macs": Key("integer", minimum=1),
    "functional_model": Key("boolean"),
    "memory": Key(
        "tables",
        fields={"mode": Key("string", choices=NPU_MEMORY_MODES), "system_config": Key("string")},
    ),
    "notes": Key("string", required=False, default=""),
}


def check_table(table: Mapping[str, Any], schema: Mapping[str, Key], where: str) -> dict[str, Any]:
    """Return `table` with sizes in bytes, arrays as tuples and defaults filled in.

    `where` is the file, and the path of the table inside it, for the TargetError of a violation.
    """
    for name in table:
        try:
            require_choice("key", name, schema)
        except TargetError as error:
            raise TargetError(f"{where}: {error}") from None
    missing = [name for name, key in schema.items() if key.required and name not in table]
    if missing:
        raise TargetError(f"{where}: missing key {missing[0]!r}; required: {_required(schema)}")
    return {
        name: _check_value(table[name], key, f"{where}: {name}") if name in table else key.default
        for name, key in schema.items()
    }


def _required(schema: Mapping[str, Key]) -> str:
    return ", ".join(name for name, key in schema.items() if key.required)


def _check_value(value: Any, key: Key, where: str) -> Any:
    if not _is_kind(value, key.kind):
        raise TargetError(f"{where}: must be {_TOML_NAMES[key.kind]}, not {value!r}")
    match key.kind:
        case "string":
            return _check_choice(value, key, where)
        case "size":
            return parse_size(value, where)
        case "integer":
            if not key.minimum <= value <= key.maximum:
                raise TargetError(f"{where}: {value} is outside {key.minimum} .. {key.maximum}")
            return value
        case "strings":
            return tuple(_check_item(item, key, where) for item in value)
        case "table":
            return check_table(value, key.fields, where)
        case "tables":
            return tuple(_check_row(row, key, f"{where}[{index}]") for index, row in enumerate(value))
        case "boolean":
            return value


def _is_kind(value: Any, kind: Kind) -> bool:
    # bool is a subclass of int in Python, but true is no integer in TOML.
    return isinstance(value, _PYTHON_TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


def _check_choice(value: str, key: Key, where: str) -> str:
    if not key.choices:
        return value
    try:
        return require_choice("value", value, key.choices)
    except TargetError as error:
        raise TargetError(f"{where}: {error}") from None


def _check_item(item: Any, key: Key, where: str) -> str:
    if not isinstance(item, str):
        raise TargetError(f"{where}: must be {_TOML_NAMES['strings']}, not one with {item!r}")
    return _check_choice(item, key, where)


def _check_row(row: Any, key: Key, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TargetError(f"{where}: must be a table, not {row!r}")
    return check_table(row, key.fields, where)
