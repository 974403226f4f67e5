"""The graph of a call: for each block of the result a task, and tasks that cut out what it needs."""

from functools import cache
from itertools import pairwise, product
from operator import getitem
from typing import Any

from dask.array.core import Array
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from gpuconv.blocks.chunked import Pieces, bounds_of
from gpuconv.blocks.tasks import Block, compute
from gpuconv.call import Call
from gpuconv.spec import INPUT_GRADIENT
from gpuconv.spec.axis import Pair
from gpuconv.spec.crops import (
    Intervals,
    crop_axis,
    cut_axis,
    cut_channels,
    parts_of,
    with_channels,
)


class Graph:
    """What a call means, of dask arrays, block by block.

    `arrays` are those of the operator but `out`, of which some may be None.
    """

    def __init__(self, meaning: Call, arrays: list[Any]) -> None:
        self.meaning = meaning
        self.spec: Any = meaning.spec
        self.arrays = [array for array in arrays if array is not None]
        token = tokenize(
            meaning.operator.name, self.spec, meaning.forced, [each.name for each in self.arrays]
        )
        self.name = f"{meaning.operator.name}-{token}"
        self.pieces: list[Any] = [
            None if array is None else Pieces(array, f"{name}-of-{self.name}")
            for name, array in zip(meaning.operator.arrays, arrays, strict=False)
        ]
        self.cuts = self._cuts(*arrays[:2])
        self._axis = cache(lambda number, outputs: crop_axis(self.spec, number, outputs))
        self._channels = cache(lambda images, outputs: with_channels(self.spec, images, outputs))

    def _cuts(self, input: Any, weight: Any = None) -> list[list[int]]:
        """Of the result, along each axis of a batch."""
        images = bounds_of(input, 0) if self.meaning.is_batched else [0, 1]
        weight_bounds = [] if weight is None else bounds_of(weight, int(self._is_transposed))
        return [
            images,
            cut_channels(self.spec, bounds_of(input, -3), weight_bounds),
            cut_axis(self.spec, 0, bounds_of(input, -2)),
            cut_axis(self.spec, 1, bounds_of(input, -1)),
        ]

    @property
    def _is_transposed(self) -> bool:
        return getattr(self.spec, "direction", None) == INPUT_GRADIENT

    def results(self, metas: list[Any]) -> list[Any]:
        """The result, or values and indices, as dask arrays."""
        names = (
            [self.name] if len(metas) == 1 else [f"{each}-of-{self.name}" for each in ("values", "indices")]
        )
        tasks = self._tasks()
        graph = dict(tasks)
        if len(metas) > 1:
            for place, name in enumerate(names):
                graph |= {(name, *key[1:]): (getitem, key, place) for key in tasks}
        for pieces in self.pieces:
            graph |= pieces.graph if pieces else {}
        cuts = self.cuts if self.meaning.is_batched else self.cuts[1:]
        chunks = tuple(tuple(last - first for first, last in pairwise(each)) for each in cuts)
        return [
            Array(
                HighLevelGraph.from_collections(name, graph, dependencies=self.arrays),
                name,
                chunks,
                meta=meta,
            )
            for name, meta in zip(names, metas, strict=True)
        ]

    def _tasks(self) -> dict[tuple, tuple]:
        tasks = {}
        for block in product(*(enumerate(pairwise(each)) for each in self.cuts)):
            numbers, outputs = zip(*block, strict=True)
            key = (self.name, *(numbers if self.meaning.is_batched else numbers[1:]))
            tasks[key] = self._task(*outputs)
        return tasks

    def _task(self, images: Pair, outputs: Pair, high: Pair, wide: Pair) -> tuple:
        rows, columns = self._axis(0, high), self._axis(1, wide)
        spec, channels = self._channels(images[1] - images[0], outputs)
        block = Block(
            self.meaning.operator.name, tuple(parts_of(spec, rows, columns)),
            (high[1] - high[0], wide[1] - wide[0]), (rows.order, columns.order),
            (rows.inputs[0][0], columns.inputs[0][0]), self.spec.W, self.meaning.forced,
        )  # fmt: skip
        input, *others = self.pieces
        pieces = [self._batch(input, images, (channels.inputs,), rows.inputs, columns.inputs)]
        if others:
            weight, bias, residual = others
            taps = ((0, self.spec.R),), ((0, self.spec.S),)
            pieces += [
                weight(*((each,) for each in channels.weight), *taps),
                bias and bias((outputs,)),
                residual and self._batch(residual, images, (outputs,), (high,), (wide,)),
            ]
        return (compute, block, *pieces)

    def _batch(self, pieces: Any, images: Pair, *axes: Intervals) -> Any:
        return pieces((images,), *axes) if self.meaning.is_batched else pieces(*axes)
