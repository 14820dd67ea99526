"""Which part of a convolution's products meet the image and not its padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.dialect import windows

SMALL = st.integers(1, 7)


@given(
    st.tuples(SMALL, SMALL),
    st.tuples(SMALL, SMALL),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 6)] * 4),
)
def test_the_share_is_that_of_ones_among_taps_of_a_padded_image_of_ones(
    image: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    top, left, bottom, right = padding
    padded = windows.pad_array(np.ones((1, *image, 1), np.int8), padding, 0)
    if padded.shape[1] < kernel[0] or padded.shape[2] < kernel[1]:
        return
    taps = windows.taps(padded, kernel, strides, (1, 1))
    attrs = {"strides": strides, "dilation": (1, 1), "padding": (top, left, bottom, right)}
    share = windows.share_inside((1, *image, 1), kernel, (*taps.shape[:3], 1), attrs)
    np.testing.assert_allclose(share, taps.mean())


def test_dilated_taps_in_the_padding_do_not_count() -> None:
    attrs = {"strides": (1, 1), "dilation": (1, 2), "padding": (0, 2, 0, 2)}
    assert windows.share_inside((1, 1, 3, 1), (1, 3), (1, 1, 3, 1), attrs) == 5 / 9
