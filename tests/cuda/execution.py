"""Launches of the CUDA engine, carried out by the PTX executor on NumPy arrays.

`planned` is the one place where the tests of kernels ask an algorithm for its plan, and `compute` carries it
out; plans, kernels and their compiled PTX stay what they are on a GPU.
"""

import functools
import math

import numpy as np

from gpuconv import algorithm as algorithms
from gpuconv.arrays import DeviceArray
from gpuconv.cuda.runtime.compiled import Kernel
from gpuconv.cuda.runtime.gpu import H200
from gpuconv.cuda.runtime.passes import Parts, Passes
from gpuconv.spec import (
    BIAS_GRADIENT,
    WEIGHT_GRADIENT,
    ConvSpec,
    DeformedLayouts,
    MeanGradientSpec,
    NormGradientLayouts,
    PatchesSpec,
    PlainLayouts,
    PoolSpec,
    ResidualLayouts,
    ScatterLayouts,
    ScatterSpec,
    WeightGradientLayouts,
)
from gpuconv.spec.dtypes import INT64
from gpuconv.spec.layouts import ConvLayouts, Layout, PoolLayouts, contiguous_strides
from tests import ptx
from tests.ptx.apart import Apart
from tests.ptx.arguments import Pointer

LAYOUTS = {
    PoolSpec: PoolLayouts,
    ScatterSpec: ScatterLayouts,
    MeanGradientSpec: PlainLayouts,
    PatchesSpec: PlainLayouts,
}


@functools.cache
def executable(kernel, arch):
    return ptx.Kernel(kernel.ptx(arch))


def on_device(array, output=False):
    """The array as the engine sees it; an input cannot be written to, an output holds nothing yet."""
    if array is None or isinstance(array, DeviceArray):
        return array
    if not output:
        array = array if isinstance(array, Apart) else array.view()
        array.flags.writeable = False
    pointer = array.__array_interface__["data"][0]
    strides = getattr(array, "device_strides", array.strides)  # of `ptx.apart`
    return DeviceArray(pointer, array.shape, strides, array.dtype, 0, 0, output, array)


def layouts_of(spec, *views):
    """How views of (x, w, bias, y), with a residual before y, (x, dy, y) or (x, y, indices) lie in memory."""
    found = [view and _layout_of(view) for view in views]
    if isinstance(spec, ConvSpec):
        return _conv_layouts(spec)(*found)
    norms = isinstance(spec, MeanGradientSpec) and spec.norm is not None
    return (NormGradientLayouts if norms else LAYOUTS[type(spec)])(*found)


def _conv_layouts(spec):
    if spec.offset_groups:
        return DeformedLayouts
    if spec.direction in (WEIGHT_GRADIENT, BIAS_GRADIENT):
        return WeightGradientLayouts if spec.direction == WEIGHT_GRADIENT else PlainLayouts
    return ResidualLayouts if spec.epilogue.residual else ConvLayouts


def _layout_of(view):
    """An empty array lies as if without gaps, as in a call."""
    strides = view.strides
    if 0 in view.shape:
        strides = contiguous_strides(view.shape, view.dtype.itemsize)
    return Layout(view.shape, strides, view.dtype, view.pointer % 16)


def contiguous(spec):
    """How arrays lie that are contiguous and begin on 16 bytes; there is no bias."""

    def layout(*shape, dtype=spec.dtype):
        kind = np.dtype(dtype)
        steps = (kind.itemsize * math.prod(shape[axis + 1 :]) for axis in range(4))
        return Layout(shape, tuple(steps), kind)

    x, y = layout(spec.N, spec.C, spec.H, spec.W), layout(*spec.out_shape)
    if isinstance(spec, ConvSpec):
        return ConvLayouts(x, layout(spec.K, spec.C_group, spec.R, spec.S), None, y)
    return PoolLayouts(x, y, layout(*spec.out_shape, dtype=INT64) if spec.return_indices else None)


def refusal(algorithm, spec, gpu=H200):
    """Why an algorithm cannot compute a problem of contiguous arrays, or None."""
    return algorithms.refusal(algorithm, spec, contiguous(spec), gpu)


def kernel_of(function, kinds, threads):
    """A kernel for a test: a function, and the types of its parameters in their order."""
    named = {}
    for kind, name in zip(kinds, function.__code__.co_varnames[: len(kinds)], strict=True):
        named[kind] = f"{named.get(kind, '')} {name}"
    return Kernel(function.__name__, lambda: function, named, threads, 1)


def worthwhile(algorithm, spec, gpu=H200):
    return algorithm.worth(spec, contiguous(spec), gpu)


def planned(algorithm, spec, *views, gpu=H200):
    """The launch of an algorithm, or its passes; it must support them, whether they are worthwhile or not."""
    layouts = layouts_of(spec, *views)
    reason = algorithms.refusal(algorithm, spec, layouts, gpu)
    assert reason is None, reason
    return algorithm.plan(spec, layouts, gpu)


def compute(algorithm, spec, inputs, outputs, arch="sm_90a", gpu=H200, **options):
    """Compute from (x, w, bias) into (y,), or from (x,) into (y, indices): the executor's reports."""
    views = [*map(on_device, inputs), *[on_device(output, True) for output in outputs]]
    plan = planned(algorithm, spec, *views, gpu=gpu)
    launches = _launches(plan, views)
    return [execute(launch, *taken, arch=arch, **options) for launch, taken in launches if launch.blocks]


def _launches(plan, views):
    """(launch, views that are its pointers) of a launch, of passes, or of parts of a problem."""
    if isinstance(plan, Parts):
        views = [*views, scratch(plan.between)]  # what the steps share; each has its own beside it
        for step, begins in plan.steps:
            yield from _launches(
                step, [None if place is None else _moved(views[place], moved) for place, moved in begins]
            )
    elif isinstance(plan, Passes):
        views = [*views, scratch(plan.elements)]
        for launch, places in plan.launches:
            yield launch, [views[place] for place in places]
    else:
        yield plan, views


def _moved(view, step):
    """A view that begins further on; of an output, what other parts have written stays."""
    if isinstance(view, Pointer):
        return ptx.pointer(view.array, view.byte_offset + step)
    if view is None or view.owner.size == 0:
        return None
    moved = view._replace(pointer=view.pointer + step)
    return ptx.pointer(moved.owner, _begins(moved)) if moved.writeable else moved


def _begins(view):
    """Bytes from the start of the memory that a view is of."""
    return view.pointer - view.owner.__array_interface__["data"][0]


MOST_BLOCKS = 2**16  # of a grid that is executed; of a larger one it is the last


def execute(launch, *arrays, arch="sm_90a", **options):
    """Run a launch with views from `on_device` as its pointers; returns the executor's report."""
    if launch.blocks > MOST_BLOCKS:
        options["only"] = range(launch.blocks - 1, launch.blocks)
    pointers = [argument(array) for array in arrays[: len(launch.kernel.pointers)]]
    report = executable(launch.kernel, arch).launch(
        launch.blocks, launch.kernel.threads, *pointers, *launch.values,
        shared_bytes=launch.shared_bytes, **options,
    )  # fmt: skip
    assert report.float_atomics == 0  # sums would differ from run to run
    return report


def argument(view):
    if isinstance(view, Pointer):
        return view
    if view is None or view.owner.size == 0:
        return 0
    pointer = ptx.pointer(view.owner, _begins(view))
    return ptx.out(pointer) if view.writeable else pointer


def scratch(elements):
    """Memory between two kernels of a call: the second reads what the first has written, or a NaN."""
    array = poisoned((elements,), "float32")
    pointer = array.__array_interface__["data"][0]
    return DeviceArray(pointer, array.shape, array.strides, array.dtype, 0, 0, False, array)


def poisoned(shape, dtype):
    """An output as kernels find it: full of what none of them leaves there by mistake."""
    kind = np.dtype(dtype).kind
    return np.full(shape, np.nan if kind in "fV" else 177 if kind == "u" else -77, dtype)
