"""Launches of the CUDA engine, carried out by the PTX executor on NumPy arrays.

`installed(monkeypatch, arch)` replaces the one place where the engine meets the driver, `Launch.start`;
plans, kernels and their compiled PTX stay what they are on a GPU.
"""

import functools

import numpy as np

from gpuconv.arrays import NUMPY, DeviceArray
from gpuconv.cuda.runtime.launch import Launch
from tests import ptx
from tests.ptx.region import Region


@functools.cache
def executable(kernel, arch):
    return ptx.Kernel(kernel.ptx(arch))


def on_device(array, output=False):
    """The array as the engine sees it; an input cannot be written to, an output holds nothing yet."""
    if array is None:
        return None
    if not output:
        array = array.view()
        array.flags.writeable = False
    pointer = array.__array_interface__["data"][0]
    return DeviceArray(pointer, array.shape, array.strides, array.dtype, 0, 0, output, array)


def execute(launch, *arrays, arch="sm_90a", **options):
    """Run a launch with views from `on_device` as its pointers; returns the executor's report."""
    pointers = [argument(array) for array in arrays]
    threads, kernel = launch.kernel.threads, executable(launch.kernel, arch)
    scalars = launch.scalars
    return kernel.launch(
        launch.blocks, threads, *pointers, *scalars, shared_bytes=launch.shared_bytes, **options
    )


def argument(view):
    if view is None or view.owner.size == 0:
        return 0
    return ptx.out(view.owner) if view.writeable else ptx.pointer(view.owner)


def installed(monkeypatch, arch, **options):
    """Let every launch run in the executor; returns the list that the reports go to."""
    reports = []

    def start(self, output, *arrays):
        if self.blocks:
            reports.append(execute(self, *arrays, arch=arch, **options))

    monkeypatch.setattr(Launch, "start", start)
    monkeypatch.setattr(NUMPY, "scratch", scratch)
    return reports


def with_far_images(monkeypatch, far, x, y):
    """Views of an input and an output of two images, of which the second is said to lie `far` bytes on.

    An access to it is folded back to where it is.
    """
    locate = Region.locate

    def folded(region, addresses, active, size):
        image = (addresses - region.base) // far if region.size in (x.nbytes, y.nbytes) else 0
        return locate(region, addresses - image * far + image * (region.size // 2), active, size)

    monkeypatch.setattr(Region, "locate", folded)
    views = on_device(x), on_device(y, True)
    return tuple(view._replace(strides=(far, *view.strides[1:])) for view in views)


def scratch(elements, like):
    """Memory between two kernels of a call: the second reads what the first has written, or a NaN."""
    array = poisoned((elements,), "float32")
    pointer = array.__array_interface__["data"][0]
    return DeviceArray(pointer, array.shape, array.strides, array.dtype, 0, 0, False, array)


def poisoned(shape, dtype):
    """An output as kernels find it: full of what none of them leaves there by mistake."""
    return np.full(shape, np.nan if np.dtype(dtype).kind in "fV" else -77, dtype)
