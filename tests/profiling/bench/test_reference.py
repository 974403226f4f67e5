"""The check of the benchmark: its reference is right, and it catches what is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from gpuconv.spec import ConvSpec, PoolSpec
from gpuconv.spec.dtypes import FLOAT64
from profiling.bench import by_torch, reference
from profiling.workloads import label, operands, public_call
from tests.profiling.workloads.backward import BACKWARD

CONVOLUTIONS = [
    ConvSpec(2, 4, 7, 9, 6, 3, 2, ((1, 2), (0, 1)), (2, 1), (1, 2), groups=2),
    ConvSpec(1, 3, 5, 5, 2, 5, 5, ((2, 2), (2, 2))),
    ConvSpec(3, 4, 6, 6, 4, 3, 3, groups=4),
]
POOLS = [
    PoolSpec("max", 2, 3, 7, 8, 3, 3, ((1, 1), (1, 1)), (2, 2)),
    PoolSpec("mean", 2, 3, 7, 8, 3, 2, ((1, 1), (1, 1)), (2, 1)),
    PoolSpec("mean", 2, 3, 7, 8, 3, 2, ((1, 1), (1, 1)), (2, 1), count_include_pad=False),
    PoolSpec("mean", 1, 1, 7, 7, 2, 2, stride=(2, 2), ceil_mode=True, divisor_override=4),
]


def integers(spec) -> tuple[np.ndarray, ...]:
    return tuple(
        array if array.dtype == np.int64 else np.rint(4 * array).astype(spec.dtype.numpy)
        for array in operands(spec)
    )


@pytest.mark.parametrize("spec", [*CONVOLUTIONS, *POOLS[:1]])
def test_the_definition_agrees_exactly_on_integers(spec):
    arrays = integers(spec)
    y = public_call(spec, arrays)()
    seen = np.zeros(spec.out_shape, bool)
    for place, expected in reference.sampled(spec, arrays):
        np.testing.assert_array_equal(y[place], expected)
        seen[place] = True
    assert seen.all()


@pytest.mark.parametrize("spec", POOLS[1:])
def test_the_definition_agrees_on_averages(spec):
    spec = replace(spec, dtype=FLOAT64)
    arrays = integers(spec)
    y = public_call(spec, arrays)()
    for place, expected in reference.sampled(spec, arrays):
        np.testing.assert_allclose(y[place], expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("spec", [CONVOLUTIONS[1], *POOLS])
def test_pytorch_agrees_with_the_definition(spec):
    pytest.importorskip("torch")
    arrays = integers(spec)
    whole = np.stack([image for _, image in reference._whole_images(spec, arrays)])
    for place, expected in reference.sampled(spec, arrays):
        np.testing.assert_allclose(whole[place], expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("spec", BACKWARD, ids=label)
def test_pytorch_agrees_on_what_goes_back(spec):
    """Exactly, on integers, but for the divisions of a mean: two programs that share nothing."""
    pytest.importorskip("torch")
    spec = replace(spec, dtype=FLOAT64)
    arrays = integers(spec)
    y = public_call(spec, arrays)()
    parts = [*reference._whole_images(spec, arrays)]
    assert len(parts) == (1 if by_torch.adds_up_images(spec) else spec.N)
    for place, expected in parts:
        np.testing.assert_allclose(y[place], expected, rtol=1e-15, atol=1e-14)
        assert np.abs(expected).max() > 1


def test_without_pytorch_convolutions_and_pools_alone_can_be_checked(monkeypatch):
    monkeypatch.setattr(reference, "find_spec", lambda name: None)
    assert all(map(reference.can_check, [*CONVOLUTIONS, *POOLS]))
    assert not any(map(reference.can_check, BACKWARD))


def test_a_large_output_is_sampled_with_its_corners():
    spec = ConvSpec(2, 1, 40, 40, 3, 3, 3)
    places = [place for place, _ in reference.sampled(spec, operands(spec))]
    drawn = set(zip(*(np.concatenate(axis).tolist() for axis in zip(*places, strict=True)), strict=True))
    assert {(0, 0, 0, 0), (0, 0, 0, 37), (0, 0, 37, 0), (0, 0, 37, 37), (1, 2, 37, 37)} <= drawn
    assert 500 < len(drawn) <= reference.SAMPLES + 5


@pytest.mark.parametrize("without_torch", [False, True])
@pytest.mark.parametrize("spec", [CONVOLUTIONS[1], POOLS[0]])
def test_errors_are_seen(spec, without_torch, monkeypatch):
    if without_torch:
        monkeypatch.setattr(reference, "find_spec", lambda name: None)
        assert reference.method() == "sampled float64"
    arrays = operands(spec)
    right = public_call(spec, arrays)()
    wrong, infected = right.copy(), right.copy()
    largest = np.abs(right).max()
    wrong[-1, -1, -1, -1] += largest
    infected[0, 0, 0, 0] = np.nan
    found = reference.errors(spec, arrays, [right, wrong, infected, right[..., :-1]])
    assert max(found[0].greatest, found[0].norm) <= 5e-7
    assert found[1].greatest == pytest.approx(1, rel=1e-5)
    if not without_torch:  # a sample may meet the wrong element more than once
        assert found[1].norm == pytest.approx(largest / np.linalg.norm(right), rel=1e-3)
    assert all(np.isnan([error.greatest, error.norm]).all() for error in found[2:])


def test_operands_repeat_and_have_the_dtype():
    spec = replace(CONVOLUTIONS[0], dtype=FLOAT64)
    x, w = operands(spec)
    assert (x.shape, w.shape) == ((2, 4, 7, 9), (6, 2, 3, 2))
    assert x.dtype == w.dtype == np.float64
    np.testing.assert_array_equal(x, operands(spec)[0])
    assert len(operands(POOLS[0])) == 1
