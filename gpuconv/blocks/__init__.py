"""Calls on dask arrays, as graphs of calls on blocks: lazy, and of images that need not fit into memory.

    input    +-------+-------+       output   +------+-------+      each block of the output is one task, of a
             |     . | .     |                |      |       |      problem of its own (`gpuconv.spec.crops`);
             | . . a | b . . |   ->           |      |  y    |      what it sees of chunks is cut out of each
             +-------+-------+                +------+-------+      where that chunk is: of neighbours a few
             |     c | d     |                |      |       |      rows and columns, and put together
             +-------+-------+                +------+-------+

Blocks follow the chunks of the input, and in the channels of a convolution those of the weight; of an input
that is chunked in channels a block puts all together that it sums over, so that it rounds as a call on the
whole does. A block that is computed the same way as a call on the whole gives the same bits.

>>> import dask.array, numpy as np, gpuconv
>>> image = dask.array.ones((1, 40_000, 40_000), chunks=(1, 2_000, 2_000), dtype=np.float32)
>>> filtered = gpuconv.conv2d(image, np.ones((1, 1, 7, 7), np.float32), padding=3)
>>> pooled = gpuconv.max_pool2d(filtered, 2)
>>> pooled.shape, pooled.chunksize
((1, 20000, 20000), (1, 1000, 1000))
>>> pooled[0, :2, 998:1001].compute()
array([[35., 35., 35.],
       [49., 49., 49.]], dtype=float32)

Nothing here is imported before a dask array comes. What runs where the chunks are is in `tasks`.
"""

from typing import Any

import dask.array
import numpy as np

from gpuconv.arrays import NUMPY
from gpuconv.blocks.chunked import as_dask, like, signature_of
from gpuconv.blocks.graph import Graph
from gpuconv.call import understand_signatures
from gpuconv.operators import Operator

__all__ = ["call"]

TAKEN = (
    "conv2d", "conv_transpose2d", "max_pool2d", "min_pool2d", "avg_pool2d", "lp_pool2d",
    "adaptive_avg_pool2d", "adaptive_max_pool2d",
)  # fmt: skip


def call(
    operator: Operator, arrays: tuple[Any, ...], parameters: tuple[Any, ...], algorithm: str | None
) -> Any:
    """The result, or (values, indices), of a call of which an array is dask's: nothing is computed.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and its value, as the call on the whole would.
    """
    if operator.name not in TAKEN:
        raise TypeError(
            f"{operator.name} takes no dask arrays, as {', '.join(TAKEN)} do; compute them first, or map it "
            "over blocks that need nothing of each other with dask.array.map_blocks"
        )
    *given, out = arrays
    if out is not None:
        raise ValueError("out must be None beside dask arrays, whose results are computed later")
    names = operator.arrays[:-1]
    signatures = tuple(signature_of(array, name) for array, name in zip(given, names, strict=True))
    meaning = understand_signatures(operator, (*signatures, None), parameters, algorithm)
    if algorithm is not None and meaning.input.library is NUMPY:
        meaning.algorithm  # noqa: B018  raises what is wrong with it
    chunked = [as_dask(array) for array in given]
    (shape, dtype), *more = meaning.results
    metas = [like(chunked[0], len(shape), each.numpy) for each in (dtype, *(kind for _, kind in more))]
    if 0 in shape:
        results = [dask.array.from_array(np.empty_like(meta, shape=shape), chunks=-1) for meta in metas]
    else:
        results = Graph(meaning, chunked).results(metas)
    return results[0] if len(results) == 1 else tuple(results)
