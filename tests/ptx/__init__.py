"""Execute compiled PTX on the CPU and report what is wrong with it.

This package runs the PTX text that a compiler made of a CUDA kernel, without a GPU or a driver,
on NumPy arrays. Many blocks execute at once, each instruction being a few NumPy calls over all of
their threads. While a kernel runs, the following raise an exception that names the line of PTX,
the block, the thread and the address:

- `RaceError`: two threads meet at one place in shared or global memory, one of them writing (even
  an equal value: use an atomic), and no barrier, mbarrier, warp synchronisation, or release and acquire of
  sufficient scope orders them; or ``ld.global.nc`` reads what the launch writes;
- `OutOfBoundsError`, `MisalignedError`, `ReadOnlyError`: an access outside of an array or a variable (arrays
  lie gigabytes apart, variables have gaps between them, so no stray index meets another one), not aligned,
  or to what is only read. Dynamic shared memory lies at the worst address that its declaration allows;
- `UninitialisedError`: a value that nothing wrote reaches a store, an address or a branch;
- `BarrierError`, `DivergenceError`: a barrier, or an instruction for a whole warp, that some of the
  threads never reach; an mbarrier whose phase never completes, or that is misused;
- `AsynchronousError`: data touched while an asynchronous copy or product is still using it, or with
  no fence between the proxies, or in flight when the block ends;
- `OrderError`: results differ between two orders of blocks and warps (``both_orders=True``);
- `UnknownInstructionError` (also of an instruction that the target does not have), `ParseError`,
  `LaunchError` (also of what CUDA would refuse, and of arrays of other types than Numba compiled the kernel
  for), `TrapError`, `StepLimitError`.

All are subclasses of `PtxError`. With the results comes a `Report` that counts instructions,
divergent branches, float atomics, memory sectors and bank conflicts. What is compiled with line information
(``compile_numba(..., lineinfo=True)``) has its faults named with the line of Python.

Examples
--------
Compile a kernel with Numba, which needs no GPU for this (`compile_numba`), and run it:

>>> import numpy as np
>>> from numba import cuda, float32, void
>>> from tests import ptx
>>> def scale(x, y, factor):
...     i = cuda.grid(1)
...     if i < y.size:
...         y[i] = factor * x[i]
>>> text = ptx.compile_numba(scale, void(float32[::1], float32[::1], float32), "sm_90a")
>>> x, y = np.arange(1000, dtype=np.float32), np.empty(1000, np.float32)
>>> report = ptx.Kernel(text).launch(8, 128, ptx.numba_array(x), ptx.numba_array(ptx.out(y)), 2.0)
>>> bool((y == 2 * x).all())
True

`numba_array` expands an array to the parameters that Numba's calling convention has for it, and
`out` declares that its contents must not be read before they are written. For other compilers'
kernels pass arrays as they are, or `pointer` for an address within one. What no memory
has room for is had by `apart`, for parts that are said to lie far from each other, and by ``only``, for some
blocks of a grid. A fault:

>>> ptx.Kernel(text.replace("setp.ge.s64", "setp.gt.s64")).launch(
...     8, 128, ptx.numba_array(x), ptx.numba_array(ptx.out(y)), 2.0)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
tests.ptx.faults.OutOfBoundsError: access of 4 bytes at byte 4000 of array 0 (1000,) float32, which has 4000
  address ... in array 0 (1000,) float32
  block (7, 0, 0), thread (104, 0, 0)
  line ...: ld.global.f32 ...

A bulk copy of a tile takes a tensor map, which a kernel receives as a pointer, as 128 bytes of
parameters or, through `numba_array`, as an array of uint64:

>>> tiles = ptx.tensor_map(np.zeros((64, 64), np.float32), box=(8, 32), swizzle=128)
>>> ptx.numba_array(tiles)[2:4]
[16, 8]

The report:

>>> report.divergent_branches
1
>>> x, y = np.ones(1024, np.float32), np.ones(1024, np.float32)
>>> report = ptx.Kernel(text).launch(8, 128, ptx.numba_array(x), ptx.numba_array(y), 2.0, count_memory=True)
>>> report.sectors_per_request, report.instructions["math"]
(4.0, 32)

Speed and limits
----------------
An instruction takes some microseconds for a few thousand threads together, so kernels are tested on
small grids. Arrays that are not writeable are not watched for races, which saves time for inputs.

Of asynchronous copies, ``cp.async`` with its groups and on mbarriers, ``mbarrier``, ``cp.async.bulk``
and ``cp.reduce.async.bulk``, plain and of tensors (tiles and im2col, from `tensor_map` and `im2col_map`;
neither interleaved nor gathered rows), and ``fence.proxy.async`` are executed. Data arrive at the latest
possible moment, when somebody waits for them. A ``cp.async`` that nobody waits for is dropped at the end
of the block, since nothing can tell. A bulk load in flight then is a fault, and so is a bulk store unless
``wait_group.read`` has covered it. Bulk copies count as global traffic but not as bank conflicts.

Of matrix instructions, ``ldmatrix``, ``stmatrix``, ``movmatrix``, ``mma.sync`` and ``wgmma`` are
executed for f16, bf16, tf32, f64 and 8-bit types, without sparsity. Their sums are added in float64 and
rounded once, where hardware rounds in its own way; on small integers both are exact. Which registers
``setmaxnreg`` leaves to a warpgroup is not modelled.

Approximate instructions (``.approx``) give the correctly rounded result, which hardware need not.
Clocks count steps. Textures, surfaces, calls through pointers, recursion, ``printf`` (which prints
nothing) and clusters of more than one block are not executed. Functions without a body in
the text are unknown, except those for a barrier of the whole grid. Threads are scheduled in one of many
possible orders, or in two with ``both_orders=True``: what no check names can still depend on the order.
Blocks run some at a time; a grid of up to 8192 threads that may wait for other blocks runs as a whole.

To add an instruction, see `tests.ptx.registry`.
"""

from .apart import apart
from .arguments import numba_array, out, pointer
from .faults import (
    AsynchronousError,
    BarrierError,
    DivergenceError,
    LaunchError,
    MisalignedError,
    OrderError,
    OutOfBoundsError,
    ParseError,
    PtxError,
    RaceError,
    ReadOnlyError,
    StepLimitError,
    TrapError,
    UninitialisedError,
    UnknownInstructionError,
)
from .kernel import Kernel
from .numba_compile import compile_numba
from .report import Report
from .tensor_maps import im2col_map, tensor_map

__all__ = [
    "AsynchronousError",
    "BarrierError",
    "DivergenceError",
    "Kernel",
    "LaunchError",
    "MisalignedError",
    "OrderError",
    "OutOfBoundsError",
    "ParseError",
    "PtxError",
    "RaceError",
    "ReadOnlyError",
    "Report",
    "StepLimitError",
    "TrapError",
    "UninitialisedError",
    "UnknownInstructionError",
    "apart",
    "compile_numba",
    "im2col_map",
    "numba_array",
    "out",
    "pointer",
    "tensor_map",
]
