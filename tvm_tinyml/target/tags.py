"""TVM target tags: after registration Target("tinyml/cortex-m55") works in every TVM script."""

from __future__ import annotations

from tvm_tinyml.target.catalogue import load_catalogue
from tvm_tinyml.target.config import tvm_fields


def register_tags() -> tuple[str, ...]:
    """Register the tag tinyml/<core> in TVM for every core of the catalogue and return the tags.

    Registering again replaces the tags by equal ones. Imports TVM. TargetError when a data file is defective.
    """
    from tvm.target import register_tag

    tags = []
    for core in load_catalogue().cores.values():
        tag = f"tinyml/{core.name}"
        register_tag(tag, tvm_fields(core), override=True)
        tags.append(tag)
    return tuple(tags)
