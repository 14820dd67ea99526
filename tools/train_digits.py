"""Train the project's own model: handwritten digits, depthwise-separable, residual, full int8.

Data: scikit-learn's bundled copy of the UCI "Optical Recognition of Handwritten Digits" set (1,797 images
of 8x8 pixels, grey levels 0..16), each pixel doubled to make 16x16. The last fifth is held out without
shuffling: the set is ordered by writer, so most held-out digits come from hands the network never saw.

Network: MobileNet's depthwise-separable block (Howard et al. 2017, arXiv:1704.04861), with the identity
shortcut of He et al. 2015 (arXiv:1512.03385) around the blocks that keep their shape; the converter folds the
batch normalisations. It is sized for a Cortex-M0 with 16 KiB of RAM. Quantisation: TensorFlow Lite's
post-training full integer quantisation, weights per channel, int8 in and out, calibrated on training images.

Reproduce, in an environment of its own (Python 3.11, no GPU needed, about three minutes on two cores):

    python3.11 -m venv build/train && build/train/bin/pip install -e '.[train]'
    build/train/bin/python tools/train_digits.py
    .venv/bin/python tools/make_golden.py

Seeds are fixed and TensorFlow runs its deterministic kernels: the same versions on the same kind of processor
give the same bytes. Another processor may round a float sum differently and so end at other, equally good
weights; the committed model is the reference, and a retrained one needs new golden vectors.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN picks other kernels, and so other roundings, on each generation of processors.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import tensorflow as tf
from scipy import ndimage
from sklearn.datasets import load_digits

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"
SEED = 20
EPOCHS = 120
BATCH = 32
HELD_OUT = 360
GREY_LEVELS = 16.0
CLASSES = 10

Images = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


def load_images() -> tuple[Images, Labels]:
    """Return grey levels 0..16 as uint8 [n, 16, 16, 1] and labels uint8 [n], in the data set's order."""
    digits = load_digits()
    doubled = digits.images.astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    return doubled[..., np.newaxis], digits.target.astype(np.uint8)


def to_unit_range(images: Images) -> Pixels:
    """Map grey levels 0..16 to float32 0..1, the range the network is trained on."""
    return np.divide(images, GREY_LEVELS, dtype=np.float32)


def distort(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Rotate, scale, shear and shift one [16, 16, 1] image a little, with linear interpolation."""
    angle = generator.uniform(-0.2, 0.2)
    scale = generator.uniform(0.88, 1.12, size=2)
    shear = generator.uniform(-0.15, 0.15)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(scale)
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre + generator.uniform(-1.5, 1.5, size=2)
    moved = ndimage.affine_transform(image[..., 0], matrix, offset, order=1)
    return np.asarray(moved, np.float32)[..., np.newaxis]


def distorted_epochs(pixels: Pixels, labels: Labels, epochs: int) -> Iterator[tuple[Pixels, Labels]]:
    """Yield `epochs` shuffled copies of the training set, every image distorted anew."""
    generator = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = generator.permutation(len(pixels))
        yield np.stack([distort(pixels[index], generator) for index in order]), labels[order]


def convolution(x: Any, channels: int, kernel: int, *, stride: int = 1, relu: bool = True) -> Any:
    """Convolution, batch normalisation and, unless a shortcut is added first, ReLU."""
    x = tf.keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
    x = tf.keras.layers.BatchNormalization()(x)
    return tf.keras.layers.ReLU()(x) if relu else x


def depthwise(x: Any, *, stride: int = 1) -> Any:
    """3x3 depthwise convolution; a strided one pads both sides alike, and so leaves a PAD in the model."""
    if stride > 1:
        x = tf.keras.layers.ZeroPadding2D(1)(x)
    padding = "valid" if stride > 1 else "same"
    x = tf.keras.layers.DepthwiseConv2D(3, stride, padding=padding, use_bias=False)(x)
    return tf.keras.layers.ReLU()(tf.keras.layers.BatchNormalization()(x))


def residual_block(x: Any) -> Any:
    """ReLU(x + pointwise(depthwise(x))): shape and number of channels stay."""
    branch = convolution(depthwise(x), x.shape[-1], 1, relu=False)
    return tf.keras.layers.ReLU()(tf.keras.layers.Add()([x, branch]))


def build_network(batch_size: int | None) -> Any:
    """Return the untrained network: [batch, 16, 16, 1] -> [batch, 10] probabilities, 0.55 M MACs an image."""
    pixels = tf.keras.Input((16, 16, 1), batch_size=batch_size, name="pixels")
    x = convolution(pixels, 8, 3)
    x = convolution(depthwise(x, stride=2), 32, 1)
    for _ in range(3):
        x = residual_block(x)
    x = convolution(depthwise(x, stride=2), 64, 1)
    for _ in range(3):
        x = residual_block(x)
    x = tf.keras.layers.AveragePooling2D(4)(x)
    x = tf.keras.layers.Flatten()(x)
    x = tf.keras.layers.Dropout(0.2, seed=SEED)(x)
    x = tf.keras.layers.Dense(CLASSES)(x)
    return tf.keras.Model(pixels, tf.keras.layers.Softmax(name="digit")(x), name="digits")


def train(network: Any, pixels: Pixels, labels: Labels) -> None:
    """Fit with Adam and a cosine learning rate, one freshly distorted copy of the training set per epoch."""
    steps = EPOCHS * -(-len(pixels) // BATCH)
    rate = tf.keras.optimizers.schedules.CosineDecay(2e-3, steps)
    network.compile(tf.keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch, (batch, target) in enumerate(distorted_epochs(pixels, labels, EPOCHS), start=1):
        history = network.fit(batch, target, batch_size=BATCH, shuffle=False, verbose=0).history
        if epoch % 10 == 0:
            print(f"epoch {epoch:3d}  loss {history['loss'][0]:.4f}  accuracy {history['accuracy'][0]:.4f}")


def convert(network: Any, calibration: Pixels) -> bytes:
    """Quantise to int8 throughout (weights per channel, int8 in and out) and return the .tflite bytes."""
    # A batch of exactly one: otherwise the flattened shape is computed at run time, by operators of its own.
    single = build_network(batch_size=1)
    single.set_weights(network.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(converter.convert())


def main() -> None:
    """Train, convert, and write digits.tflite and the held-out images beside it."""
    parser = argparse.ArgumentParser(description="Train the digits model and convert it to int8.")
    parser.add_argument(
        "--output", type=Path, default=MODELS, help="folder for digits.tflite and digits_test.npz"
    )
    folder: Path = parser.parse_args().output

    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    images, labels = load_images()
    pixels = to_unit_range(images)
    network = build_network(batch_size=None)
    train(network, pixels[:-HELD_OUT], labels[:-HELD_OUT])
    _, accuracy = network.evaluate(pixels[-HELD_OUT:], labels[-HELD_OUT:], verbose=0)
    print(f"float accuracy on {HELD_OUT} held-out images: {accuracy:.4f}")

    folder.mkdir(parents=True, exist_ok=True)
    model = convert(network, pixels[:-HELD_OUT])
    (folder / "digits.tflite").write_bytes(model)
    np.savez_compressed(folder / "digits_test.npz", images=images[-HELD_OUT:], labels=labels[-HELD_OUT:])
    print(f"digits.tflite: {len(model):,} bytes in {folder}")


if __name__ == "__main__":
    main()
