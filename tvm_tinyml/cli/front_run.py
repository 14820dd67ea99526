"""`tvm-tinyml plan --pareto --measure`: what plans of a front execute, run on the emulated board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .common import Model, progress

if TYPE_CHECKING:
    from tvm_tinyml.target import TargetConfig


@dataclass(frozen=True)
class Executed:
    """Instructions of one inference: of the plain build, and by plan number of those that were run."""

    plain: int
    plans: Mapping[int, int]

    def ratio(self, number: int) -> float | None:
        """Instructions of a plan over those of the plain build; None when it was not run."""
        return self.plans[number] / self.plain if number in self.plans else None


def run_front(model: Model, config: TargetConfig, front: Any, count: int) -> Executed:
    """Run the plain build and `count` plans of a front, the first and the last among them.

    The plain build holds its inputs and knows no RAM budget. Every plan is built as `--point` builds it.
    RunError where the target's board is not emulated.
    """
    from tvm_tinyml import relay
    from tvm_tinyml.errors import RunError
    from tvm_tinyml.module import runner_of

    from .tensors import random_inputs

    if runner_of(config) != "qemu":
        raise RunError(f"{config}: instructions are counted on emulated boards only; leave --measure out")
    inputs = random_inputs(model.signature["inputs"], seed=0)

    def run(described: str, wanted: TargetConfig, patch: Any) -> int:
        with progress(f"Running {described} of {model.path.name} for {config}"):
            report = relay.build(model.module, target=wanted, patch=patch).run(inputs).report
        assert report.instructions is not None
        return report.instructions

    plain = run("the plain build", replace(config, input="held", ram_bytes=None), None)
    chosen = evenly_spread(len(front.plans), count)
    return Executed(
        plain, {number: run(f"plan {number}", config, front.taller(number).plan) for number in chosen}
    )


def evenly_spread(length: int, count: int) -> list[int]:
    """`count` of the numbers below `length`, evenly spread, or all of them; the last one is the only one of one."""
    if count == 1:
        return [length - 1]
    steps = min(count, length) - 1
    return [index * (length - 1) // steps if steps else 0 for index in range(steps + 1)]
