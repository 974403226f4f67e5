"""Foreign arrays understood: which library, which device, where the elements lie, where results go.

The only room that knows array libraries. Each has one class that says how its arrays are viewed and how a
result is made (`libraries.py`, `frameworks.py`, `tensors.py`), and is told by the type of an array
(`kinds.py`), as is what is not taken, and what to pass in its place (`hints.py`, `masks.py`). A library that
is not already imported is never imported (CuPy alone, as part of the GPU engine, for objects that have no
library of their own, and ml_dtypes, for tensors of bfloat16). Below this room an array is a `numpy.ndarray`
on the CPU and an address on a GPU, beside a `Signature` that says all else (`views.py`); bfloat16 is
ml_dtypes' dtype.
"""

from collections.abc import Sequence
from sys import modules
from typing import Any, NamedTuple

import numpy as np

from gpuconv.arrays.holders import check_held, holder_of
from gpuconv.arrays.kinds import CUPY, NUMPY, library_of, named
from gpuconv.arrays.libraries import GPU_ENGINE_HINT, Library
from gpuconv.arrays.masks import GREATEST, LEAST, NOWHERE, ZERO, Fill, Fills
from gpuconv.arrays.memory import Extent, extent, is_channels_last, overlap
from gpuconv.arrays.protocols import Array, Padding, Sides
from gpuconv.arrays.refusals import Refused
from gpuconv.arrays.views import DeviceArray, Signature, View, dtype_of
from gpuconv.spec.layouts import ALIGNED

__all__ = [
    "ALIGNED", "GPU_ENGINE_HINT", "GREATEST", "LEAST", "NOWHERE", "NUMPY", "Array", "DeviceArray", "Extent",
    "Fill", "Fills", "Library", "Padding", "Sides", "Signature", "View", "check_held", "dtype_of", "extent",
    "holder_of", "is_channels_last", "library_of", "overlap", "see",
]  # fmt: skip

_NUMPY_KINDS = frozenset({np.ndarray, type(None)})

Places = list[Any]  # of the arrays of a call: each an ndarray, or None; or an address on a GPU, or 0
Signatures = tuple[Any, ...]


class Foreign(NamedTuple):
    """What a call on a GPU has to do with others.

    `streams` are those that it has to wait for, `owners` the arrays whose memory may be handed on by somebody
    who does not know of the stream of the call.
    """

    streams: tuple[int, ...]
    owners: tuple[Any, ...]


Seen = tuple[Places, Signatures, int, Foreign | tuple[()]]


def see(names: tuple[str, ...], arrays: tuple[Any, ...], fills: Fills = ()) -> Seen:
    """The arrays of one call, understood: (places, signatures, stream, what is foreign or nothing).

    A signature is a tuple of the values of a `Signature`, or None where an optional array is left out. The
    stream is that of the last array, or where that is None the current one; on the CPU it is 0. `fills` says
    what is right in the place of masked elements of some arguments.

    Raises
    ------
    TypeError
        If one of them is no array, or cannot be read.
    """
    kind: Any = type(arrays[0])
    if kind is np.ndarray and _NUMPY_KINDS.issuperset(map(type, arrays)):
        whole: Any = arrays
        signatures = [
            None if each is None else (NUMPY, each.shape, each.strides, each.dtype) for each in whole
        ]
        return list(arrays), tuple(signatures), 0, ()
    library = named(kind)
    if library is CUPY and (found := _see_cupy(kind, arrays)) is not None:
        return found
    if library is not None:
        library.begin(names, arrays)
    seen: list[Any] = [
        array if array is None else _see(array, name, fills)
        for name, array in zip(names, arrays, strict=True)
    ]
    others = tuple([each and each[1] for each in seen])
    first: Any = others[0]
    if first is None or first[4] is None:
        return [each and each[0] for each in seen], others, 0, ()
    places = [0 if each is None else each[0] for each in seen]
    stream, streams = _order(first, others[-1], [each and each[2] for each in seen])
    owners = tuple([each[3] for each in seen if each is not None and each[3] is not None])
    return places, others, stream, Foreign(streams, owners) if streams or owners else ()


def _see_cupy(kind: Any, arrays: Any) -> Seen | None:
    """The same of arrays of one type, CuPy's, which are all ordered on the current stream of their device.

    None if there is one of another type among them.
    """
    places: Places = []
    signatures: list[Any] = []
    for array in arrays:
        if array is None:
            places.append(0)
            signatures.append(None)
            continue
        if type(array) is not kind:
            return None
        memory = array.data
        pointer = memory.ptr
        places.append(pointer)
        lies = CUPY, array.shape, array.strides, array.dtype, memory.device_id, pointer % ALIGNED
        signatures.append(lies)
    device = arrays[0].data.device_id
    return places, tuple(signatures), modules["cupy"].cuda.get_current_stream(device).ptr, ()


def _see(array: Any, name: str, fills: Fills) -> tuple[Any, tuple, int | None, Any]:
    """The place of an array, the values of its signature, its stream, and who owns memory that is to be held.

    The stream that it is ordered on is None on the CPU, the owner where its library has the stream in mind.
    """
    kind: Any = type(array)
    library = named(kind)
    if library is None:
        library = library_of(array, name, dict(fills).get(name, ZERO))
    try:
        view = library.target(array) if name == "out" else library.view(array)
    except (ImportError, MemoryError):  # of an engine that is not installed, of a copy
        raise
    except Exception as error:  # a foreign array may raise anything
        use = "written to" if name == "out" else "read"
        if isinstance(error, Refused):
            raise TypeError(f"{name} cannot be {use}: {error.of(name)}") from error.__cause__
        raise TypeError(f"{name} cannot be {use}: {str(error) or type(error).__name__}") from error
    if isinstance(view, np.ndarray):
        return view, (library, view.shape, view.strides, view.dtype, None), None, None
    pointer, shape, strides, dtype, device, stream, writeable, owner = view
    signature = library, shape, strides, dtype, device, pointer % ALIGNED, writeable
    return pointer, signature, stream, None if library.orders_its_own else owner


def _order(first: tuple, last: tuple | None, streams: Sequence[int | None]) -> tuple[int, tuple[int, ...]]:
    """(the stream that a call is queued on, the others that its arrays are ordered on)."""
    library, device = first[0], first[4]
    stream = streams[-1] if last is not None else None
    if stream is None:
        stream = (library if last is None else last[0]).current_stream(device)
    return stream, tuple({other for other in streams if other is not None and other != stream})
