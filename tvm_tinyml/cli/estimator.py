"""What the subcommands that estimate cycles share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_tinyml.target import TargetConfig

NO_MODEL = "none: there is no model of this core"


def require_estimator(configs: Iterable[TargetConfig]) -> None:
    """Raise RunError when cycles can be estimated for one of the targets and LLVM's tools are missing."""
    from tvm_tinyml.profile.cycles import has_model
    from tvm_tinyml.profile.llvm import llvm_tools

    if any(has_model(config.core) for config in configs):
        llvm_tools()
