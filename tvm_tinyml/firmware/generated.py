"""The generated files of one model as the layouts of projects see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tvm_tinyml.target import TargetConfig

METADATA = "metadata.json"
_BUILD_FILES = (METADATA, "CMakeLists.txt", "Makefile")


@dataclass(frozen=True)
class Generated:
    """The generated files of one model, text by path relative to their folder, and the target they are for."""

    files: Mapping[str, str]
    config: TargetConfig

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """metadata.json as data."""
        described: dict[str, Any] = json.loads(self.files[METADATA])
        return described

    @property
    def name(self) -> str:
        """The model's name: prefix of its C functions and files."""
        return str(self.metadata["model"])

    @property
    def upper(self) -> str:
        """Prefix of its macros."""
        return self.name.upper()

    @property
    def calls_npu(self) -> bool:
        """Whether there are networks on an Ethos-U."""
        return bool((self.metadata["npu"] or {}).get("networks"))

    @property
    def runs_here(self) -> bool:
        """Whether an image of it can be linked and run here: on the host, or for an emulated board.

        The functional model then stands in for an Ethos-U.
        """
        config = self.config
        emulated = config.board is not None and config.board.qemu is not None
        stands_in = not self.calls_npu or (config.npu is not None and config.npu.functional_model)
        return (emulated or config.core.family == "host") and stands_in

    @property
    def has_selftest(self) -> bool:
        """Whether there is a self-test among the files."""
        return f"{self.name}_selftest.c" in self.files

    @property
    def sources(self) -> list[str]:
        """C files to compile."""
        return [path for path in self.files if path.endswith(".c")]

    @property
    def code(self) -> dict[str, str]:
        """Sources and headers alone, without what builds or describes them."""
        return {path: text for path, text in self.files.items() if path not in _BUILD_FILES}

    def below(self, folder: str) -> dict[str, str]:
        """All files in a folder of that name."""
        return {f"{folder}/{path}": text for path, text in self.files.items()}
