"""The last block of a grid whose results are more than 2^32 elements: only the last images are there."""

import dataclasses
import math

import numpy as np

from tests.cuda.execution import compute, on_device, poisoned
from tests.cuda.layouts import problems

KEPT = 24  # images, as many as a block may have to do with
WITHOUT_IMAGES = "w", "bias"


def image(shape):
    """A batch of as many images as are kept."""
    return (KEPT, *shape)


DENSE = "conv_stem", "conv_winograd", "conv_implicit_gemm", "conv_tiled"
ENDS = {
    "conv": [
        (DENSE, lambda: problems.convolution(image((4, 4, 8)), (6, 4, 3, 3), padding=1)),
        (
            ("conv_depthwise", "conv_depthwise_window"),
            lambda: problems.convolution(image((3, 5, 24)), (3, 1, 3, 3), groups=3, padding=1),
        ),
    ],
    "pool": [
        (("pool_rows",), lambda: problems.pool("max", image((3, 6, 16)), 2, indices=True)),
        (("pool_separable",), lambda: problems.pool("max", image((3, 6, 16)), 5, stride=1, padding=2)),
        (("pool_direct",), lambda: problems.pool("max", image((3, 6, 16)), 3, indices=True)),
        (("pool_direct",), lambda: problems.pool("min", image((3, 6, 16)), 3)),
        (("pool_direct",), lambda: problems.mean(image((3, 6, 16)), 3)),
        (("pool_direct",), lambda: problems.adaptive(image((3, 5, 8)), (3, 4))),
        (("pool_norms",), lambda: problems.norms(image((3, 4, 8)), 2)),
    ],
    "pool_grad": [
        (("pool_shares",), lambda: problems.mean_gradient(image((3, 4, 8)), 3, 2, 1)),
        (("norm_shares",), lambda: problems.norm_gradient(image((3, 4, 8)), 2)),
    ],
    "scatter": [(("scatter",), lambda: problems.max_gradient(image((3, 64, 64)), kernel_size=2))],
    "unfold": [
        (("unfold",), lambda: problems.unfolded(image((3, 4, 8)), 3, padding=1)),
        (("fold",), lambda: problems.folded(image((3, 4, 8)), 3, padding=1)),
    ],
}


def end_of(array, images, output=False):
    """A view of so many images, of which the last are there."""
    view = on_device(array, output)
    away = (images - KEPT) * view.strides[0]
    return view._replace(shape=(images, *view.shape[1:]), pointer=view.pointer - away)


def run_last_block(algorithm, make):
    """Compute and compare what one block does."""
    problem = make()
    results = [each for each in problem.results.values() if each is not None]
    images = 2**32 // math.prod(results[0].shape[1:]) + KEPT
    spec = dataclasses.replace(problem.spec, N=images)
    found = [None if each is None else poisoned(each.shape, each.dtype) for each in problem.results.values()]
    compute(
        algorithm, spec,
        [each if name in WITHOUT_IMAGES else end_of(each, images) for name, each in problem.inputs.items()],
        [None if each is None else end_of(each, images, True) for each in found],
    )  # fmt: skip
    for got, expected in zip(filter(lambda each: each is not None, found), results, strict=True):
        untouched = got.view(f"i{got.itemsize}") == -1  # what the executor leaves where nothing is written
        np.testing.assert_array_equal(got[~untouched], expected[~untouched])
        assert not untouched[-1].reshape(-1)[-1] and untouched[0].any()
