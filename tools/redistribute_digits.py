"""What moving the receptive field costs and brings, on a MobileNetV2-like network for handwritten digits.

Data: scikit-learn's bundled copy of the UCI "Optical Recognition of Handwritten Digits" set (1,797 images of 8x8
pixels), scaled to 32x32. 797 images, drawn at random, are held out. Network: inverted bottlenecks (Sandler et al. 2018,
arXiv:1801.04381), stem of 8 channels with stride 2, 16x16 pixels down to 4x4. It is trained, redistributed at several
budgets of memory by `tvm_tinyml.torch.redistribute`.

    .venv/bin/python tools/redistribute_digits.py [patches:9216 patches:15360 patches:9216:alike streamed:4752 ...]

prints a table like the one of docs/user-guide.md, after about two minutes per budget on one core. Another processor may
round a float sum differently and end at other weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from tvm_tinyml.torch import redistribute

BUDGETS = ("patches:9216", "patches:15360", "patches:9216:alike", "patches:15360:alike")
BLOCKS = ((8, 8, 1, 1), (8, 12, 1, 4), (12, 16, 2, 4), (16, 16, 1, 4), (16, 32, 2, 4), (32, 32, 1, 4))
"""Channels in and out, stride and expansion."""
HELD_OUT, BATCH, CALIBRATION = 797, 50, 128
EPOCHS, TUNING_EPOCHS, RATE = 16, 10, 3e-3


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its normalisation."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [*conv(inputs, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        self.body = nn.Sequential(*widen, *depthwise, *conv(hidden, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, height, width] to [N, outputs, height / stride, width / stride]."""
        made: Tensor = self.body(x)
        return x + made if self.residual else made


def network() -> nn.Module:
    """Scores [N, 10] of images [N, 1, 32, 32]."""
    blocks = [Bottleneck(*block) for block in BLOCKS]
    stem = [*conv(1, 8, 3, 2), nn.ReLU6()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


class Batches:
    """Images and classes in a new order each time, moved by up to two pixels."""

    def __init__(self, images: Tensor, classes: Tensor) -> None:
        self.images, self.classes = images, classes
        self.generator = torch.Generator().manual_seed(1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.split(torch.randperm(len(self.images), generator=self.generator), BATCH):
            down, along = torch.randint(-2, 3, (2,), generator=self.generator).tolist()
            yield torch.roll(self.images[chosen], (down, along), (2, 3)), self.classes[chosen]


def train(module: nn.Module, batches: Batches) -> None:
    """Cross entropy, Adam, and a rate that falls on a cosine."""
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for images, classes in batches:
            optimizer.zero_grad()
            functional.cross_entropy(module(images), classes).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    module.eval()


def main(budgets: list[str]) -> None:
    """Train, redistribute at every budget and print a table of all."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    small = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    images = functional.interpolate(small, size=(32, 32), mode="bilinear")
    classes = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    batches = Batches(images[kept], classes[kept])
    module = network()
    train(module, batches)

    def accuracy(found: nn.Module) -> float:
        return float((found(images[held]).argmax(1) == classes[held]).float().mean())

    print("| plans | | receptive field | halo | F | MACs | peak RAM | accuracy |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for budget in budgets:
        plans, limit, strides = (*budget.split(":"), "last")[:3]
        found = redistribute(
            module,
            images[:1],
            ram_budget=int(limit),
            calibration=images[kept[:CALIBRATION]],
            training=batches,
            accuracy=accuracy,
            plans=plans,  # type: ignore[arg-type]
            strides=strides,  # type: ignore[arg-type]
            epochs=TUNING_EPOCHS,
        )
        for row in found.table().splitlines()[2:]:
            print(f"| {'strides' if strides == 'alike' else plans} {row}", flush=True)
        print(
            f"{100 * found.overhead_cut:.0f} % of the overhead gone; {found.changes} {found.strides}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or list(BUDGETS))
