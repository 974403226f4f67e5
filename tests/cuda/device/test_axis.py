"""An axis of an input tile: every tap finds its element in it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gpuconv.cuda.device.axis import StagedAxis


@given(st.integers(1, 64), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_an_axis_stages_exactly_what_its_taps_read(outputs, taps, stride, dilation):
    axis = StagedAxis.of(outputs, taps, stride, dilation)
    for t, r in itertools.product(range(outputs), range(taps)):
        line = t * axis.pixel + r * axis.tap
        assert line < axis.lines
        assert line * axis.step == t * stride + r * dilation
    assert axis.lines == (outputs - 1) * axis.pixel + (taps - 1) * axis.tap + 1
