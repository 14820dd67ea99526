"""Networks as PyTorch users write them, small enough to quantise in a test; their weights are random."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.support.mobilenet import STAGES


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: str = "relu6"
) -> nn.Module:
    """A convolution, batch normalisation and an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    kinds: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "hardswish": nn.Hardswish,
    }
    return nn.Sequential(*layers, *([kinds[act]()] if act in kinds else []))


class Bottleneck(nn.Module):
    """An inverted bottleneck (Sandler et al., CVPR 2018)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int = 3, act: str = "relu6"
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [conv_norm(inputs, hidden, 1, act=act)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, kernel, stride, hidden, act=act),
            conv_norm(hidden, outputs, 1, act="none"),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape [1, channels, height, width] to the same or a strided one."""
        made: Tensor = self.body(x)
        return x + made if self.residual else made


class Classifier(nn.Module):
    """A body, the average of its map, and a dense layer."""

    def __init__(self, body: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classes = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores [1, classes] of an image."""
        scores: Tensor = self.classes(torch.flatten(self.pool(self.body(x)), 1))
        return scores


def mobilenet_v2(width: float = 0.35) -> nn.Module:
    """MobileNetV2 of a width; for images of 96 x 96."""

    def channels(count: int) -> int:
        return max(8, int(count * width + 4) // 8 * 8)

    depth = channels(32)
    layers = [conv_norm(3, depth, 3, 2)]
    for expansion, outputs, count, stride in STAGES:
        for index in range(count):
            layers.append(Bottleneck(depth, channels(outputs), stride if index == 0 else 1, expansion))
            depth = channels(outputs)
    layers.append(conv_norm(depth, 1280, 1))
    return Classifier(nn.Sequential(*layers), 1280, 10)


class Residual(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(inputs, outputs, 3, stride, act="relu"), conv_norm(outputs, outputs, 3, act="none")
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Shape [1, inputs, height, width] to the strided one."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet_8() -> nn.Module:
    """ResNet-8 as in MLPerf Tiny; for images of 32 x 32."""
    stages = [conv_norm(3, 16, 3, act="relu"), Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    return Classifier(nn.Sequential(*stages), 64, 10)


def ds_cnn() -> nn.Module:
    """A DS-CNN for spectrograms of 49 x 10 (Zhang et al., 2017)."""
    stem = nn.Sequential(nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU())
    pairs = [
        nn.Sequential(conv_norm(64, 64, 3, groups=64, act="relu"), conv_norm(64, 64, 1, act="relu"))
        for _ in range(4)
    ]
    return Classifier(nn.Sequential(stem, *pairs), 64, 12)


def mcunet_like() -> nn.Module:
    """Bottlenecks with kernels of several sizes and hard swish; for images of 80 x 80."""
    rows = [
        (16, 8, 1, 1, 3),
        (8, 16, 2, 4, 7),
        (16, 16, 1, 3, 5),
        (16, 24, 2, 5, 7),
        (24, 40, 2, 4, 5),
        (40, 48, 1, 4, 3),
    ]
    blocks = [
        Bottleneck(i, o, stride, expansion, kernel, "hardswish") for i, o, stride, expansion, kernel in rows
    ]
    return Classifier(nn.Sequential(conv_norm(3, 16, 3, 2, act="hardswish"), *blocks), 48, 2)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "mobilenet_v2": (mobilenet_v2, (3, 96, 96)),
    "resnet_8": (resnet_8, (3, 32, 32)),
    "ds_cnn": (ds_cnn, (1, 49, 10)),
    "mcunet_like": (mcunet_like, (3, 80, 80)),
}
"""By name: how to make it, and the shape of its image."""


def made(name: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A network in evaluation, its normalisations settled on random images, and a source of images."""
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = build()
    generator = torch.Generator().manual_seed(1)

    def image() -> Tensor:
        return torch.randn((1, *shape), generator=generator)

    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.cat([image() for _ in range(8)]))
    return network.eval(), image
