"""Training a changed network to answer as the original does.

Knowledge distillation (Hinton, Vinyals and Dean, arXiv:1503.02531): scores of both, softened by a temperature, are
compared by their Kullback-Leibler divergence, times the square of the temperature. Labels help where there are any.
What batch normalisation keeps is measured once more at the end, over all batches ("PreciseBN": Wu and Johnson,
arXiv:2105.07576); a short training leaves moving averages of networks that are no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError

Batch: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


def distill(
    student: nn.Module,
    teacher: nn.Module,
    batches: Iterable[Batch],
    *,
    epochs: int,
    learning_rate: float = 1e-3,
    temperature: float = 4.0,
    label_weight: float = 0.1,
) -> None:
    """Train `student` in place, with Adam and a rate that falls to zero on a cosine; it is in evaluation after that.

    batches: images [N, C, H, W], or pairs of images and classes [N]; gone through once per epoch, so a list or a
        DataLoader, no generator.
    label_weight: of the cross entropy of the classes, where there are any; the divergence has the rest.

    Raises ModelError when there are no batches to go through, or the scores are not of the shape [N, classes].
    """
    teacher.eval()
    optimizer = torch.optim.Adam(student.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
    student.train()
    for _ in range(epochs):
        for images, labels in _pairs(batches):
            with torch.no_grad():
                wanted = teacher(images)
            if wanted.ndim != 2:
                raise ModelError(
                    f"distill: scores have the shape {tuple(wanted.shape)}; train networks of other kinds with a loop "
                    "of your own"
                )
            optimizer.zero_grad()
            _loss(student(images), wanted, labels, temperature, label_weight).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    if epochs:
        _settle(student, batches)
    student.eval()


def _pairs(batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Images and classes, if any, of every batch; ModelError where there is none."""
    found = False
    for batch in batches:
        found = True
        yield (batch, None) if isinstance(batch, Tensor) else batch
    if not found:
        raise ModelError("distill: no batches to train with; pass a list or a DataLoader, not a generator")


def _settle(module: nn.Module, batches: Iterable[Batch]) -> None:
    """Give normalisations that are in training the mean and variance of all batches."""
    norms = [one for one in module.modules() if isinstance(one, nn.BatchNorm2d) and one.training]
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.reset_running_stats()
        # Without a momentum the average is that of all batches.
        one.momentum = None
    with torch.no_grad():
        for images, _ in _pairs(batches):
            module(images)
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum


def _loss(scores: Tensor, wanted: Tensor, labels: Tensor | None, temperature: float, weight: float) -> Tensor:
    soft = functional.kl_div(
        functional.log_softmax(scores / temperature, 1),
        functional.log_softmax(wanted / temperature, 1),
        log_target=True,
        reduction="batchmean",
    )
    soft = soft * temperature**2
    return soft if labels is None else (1 - weight) * soft + weight * functional.cross_entropy(scores, labels)
