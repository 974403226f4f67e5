"""A call that was made before, made again: what was learned of it, and all that is left to do.

A program makes the same call over and over, and for small images it takes longer to find out what a call
means than to compute it. So what a call came to is kept as a `Replay`: the plan of its algorithm, how results
are made, and how far its arrays reach. All that is left to look at is whether `out` may be written to and
shares memory with an input. A first call is learned and then replayed, like every other.

Of NumPy's arrays even the look at what they are is left to compiled code: a call that is made again and again
is `Familiar`.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuconv import precision, threads, workspace
from gpuconv.arrays import ALIGNED, Library, overlap
from gpuconv.engines import engine_of

if TYPE_CHECKING:
    from gpuconv.call import Call

OTHER, ARRAYS, SAME = range(3)  # another call; the same arrays, parameters to be looked at; the same call
Places = list[Any]  # of the arrays of a call, `out` last: ndarrays or None; on a GPU addresses or 0

# NumPy's own function, past its look for arrays that override it, which costs as much again
_may_share_memory = getattr(np.may_share_memory, "_implementation", np.may_share_memory)


def settings() -> tuple[Any, ...]:
    """What a program chooses for all its calls: a part of what each is remembered by."""
    return threads.count, workspace.limit, precision.default


def wrong_memory(call: "Call", places: Places) -> str | None:
    """Why `out` cannot be written to: read-only, or an element in common with an input, to the element."""
    out = places[-1]
    signatures: Any = call.signatures
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        return "out is read-only"
    for name, place, signature in zip(call.operator.arrays[:-1], places, signatures, strict=False):
        if signature is not None and overlap(place, out, signature, signatures[-1]):
            return f"out overlaps {name} in memory"
    return None


class Replay:
    """What was learned of a call."""

    __slots__ = (
        "algorithm",
        "call",
        "device",
        "finish",
        "indices",
        "is_known",
        "is_simple",
        "left_out",
        "library",
        "result",
        "settings",
    )

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.algorithm = call.algorithm
        self.library: Library = call.input.library
        self.device: Any = call.input.device
        (shape, dtype), *more = call.results
        self.result = shape, dtype.numpy, self.device  # the arguments of `Library.empty`
        self.indices = (more[0][0], more[0][1].numpy, self.device) if more else None
        self.left_out = call.left_out
        is_formatted = call.keeps_format or len(shape) != 4  # else it has no channels to be last
        self.finish = self.library.finish(call.input, is_formatted)
        self.is_simple = self.indices is None and self.finish is None  # the result is what the user gets
        self.is_known = False  # but has been made before
        self.settings = settings()  # that it was learned under

    def run(self, out: Any, places: Places, stream: int, foreign: Any) -> Any:
        """Compute, into `out` or fresh arrays, and return them as the user gets them.

        `places` are those of the arrays of the call, and are filled up with those of the results; `foreign`
        is what the call has to do with streams and memory of others (`arrays.Foreign`), or empty.
        """
        raise NotImplementedError

    def wrong_out(self, places: Places) -> str | None:
        """Why `out` may not be written to, or None; the look at every call, and most often a quick one."""
        raise NotImplementedError

    def _handed_over(self, result: Any, is_fresh: bool, indices: Any) -> Any:
        """What the user gets."""
        if self.finish is not None:
            result = self.finish(result) if is_fresh else result
            indices = None if indices is None else self.finish(indices)
        return result if indices is None else (result, indices)


class CpuReplay(Replay):
    """On the CPU a plan is a function of the arrays, `compute`.

    `stand_ins` are places and arrays for what the user left out, `unbatched` the places of what lacks the
    axis of images, `fresh` makes results.
    """

    __slots__ = ("compute", "fresh", "picked", "stand_ins", "unbatched", "zeros")

    def __init__(self, call: "Call") -> None:
        super().__init__(call)
        self.compute, self.stand_ins = engine_of(None).ready(call, self.algorithm)
        self.unbatched = call.unbatched
        self.fresh = self.library.empty_channels_last if call.keeps_format else self.library.empty
        self.zeros = tuple(array for _, array in self.stand_ins)
        self.picked = self._picking() if self.is_simple and not self.unbatched else None

    def _picking(self) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
        """What picks the arguments of `compute` from the arrays of the call and `zeros`."""
        arrays = len(self.call.signatures)
        order = [place for place in range(arrays) if place not in self.left_out]
        for zero, (place, _) in enumerate(self.stand_ins):
            order[place] = arrays + zero
        return itemgetter(*order)

    def run(self, out: Any, places: Places, stream: int, foreign: Any) -> Any:
        result = out
        if out is None:
            result = self.fresh(*self.result)
            places[-1] = result if type(result) is np.ndarray else self.library.view(result)
        elif reason := self.wrong_out(places):
            raise ValueError(reason)
        result = self._computed(places, result, out is None)
        if out is not None:
            self.library.wrote(out)
        return result

    def repeat(self, arrays: tuple[Any, ...]) -> Any:
        """`run` for NumPy's arrays that were recognized, `out` among them: it is looked at, too."""
        result, is_fresh = arrays[-1], False
        if result is None:
            result, is_fresh = self.fresh(*self.result), True
            arrays = (*arrays[:-1], result)
        if self.picked is None:
            return self._computed([*arrays], result, is_fresh)
        self.compute(*self.picked(arrays + self.zeros))
        return result

    def _computed(self, places: Places, result: Any, is_fresh: bool) -> Any:
        indices = None
        for place in self.left_out:
            del places[place]
        if self.indices is not None:
            indices = self.fresh(*self.indices)
            places.append(indices if type(indices) is np.ndarray else self.library.view(indices))
        for place in self.unbatched:
            places[place] = places[place][None]
        for place, array in self.stand_ins:
            places[place] = array
        self.compute(*places)
        return result if self.is_simple else self._handed_over(result, is_fresh, indices)

    def wrong_out(self, places: Places) -> str | None:
        out = places[-1]
        flags = out.flags
        if not flags.writeable:
            return wrong_memory(self.call, places)
        owns = flags.owndata  # then it shares with none that owns its memory too, but itself
        for array in places[:-1]:
            if array is None or (owns and array.flags.owndata and array is not out):
                continue
            if _may_share_memory(array, out):
                return wrong_memory(self.call, places)
        return None


class Familiar(NamedTuple):
    """A replay and what tells its calls from others: what `recognize` compares addresses of is kept."""

    recognize: Callable[[tuple[Any, ...], tuple[Any, ...]], int]
    replay: CpuReplay
    signatures: tuple[Any, ...]
    parameters: tuple[Any, ...]


def familiar(
    replay: Replay, arrays: tuple[Any, ...], signatures: tuple[Any, ...], parameters: tuple[Any, ...]
) -> Familiar | None:
    """The replay of a call, ready to be recognized; None if its arrays are not all NumPy's own."""
    if not isinstance(replay, CpuReplay) or not _NUMPY.issuperset(map(type, arrays)):
        return None
    recognize = engine_of(None).recognizer(signatures, replay.call.extents, parameters)
    return recognize and Familiar(recognize, replay, signatures, parameters)


_NUMPY = frozenset({np.ndarray, type(None)})


class GpuReplay(Replay):
    """On a GPU a plan is a launch, which is queued with pointers.

    `reaches` are place, first byte and end of each input from its pointer on, `out_reach` those of `out`.
    """

    __slots__ = ("engine", "launch", "out_reach", "reaches", "takes_indices")

    def __init__(self, call: "Call") -> None:
        super().__init__(call)
        self.engine: Any = engine_of(self.device)
        self.launch = self.algorithm.plan(call.spec, call.layouts, call.device)
        self.takes_indices = len(call.layouts) > len(call.signatures) - len(call.left_out)
        *inputs, out = call.extents
        self.reaches = [(place, each.first, each.end) for place, each in enumerate(inputs) if each]
        self.out_reach = (0, 0) if out is None else (out.first, out.end)

    def run(self, out: Any, places: Places, stream: int, foreign: Any) -> Any:
        result, indices = out, None
        launch, odd = self.launch, 0
        if out is None:
            result = self.library.empty(*self.result)
            places[-1] = self.library.address(result)
            odd = places[-1] % ALIGNED
        elif reason := self.wrong_out(places):
            raise ValueError(reason)
        for place in self.left_out:
            del places[place]
        if self.indices is not None:
            indices = self.library.empty(*self.indices)
            places.append(self.library.address(indices))
            odd = odd or places[-1] % ALIGNED
        elif self.takes_indices:
            places.append(0)
        if odd:
            launch = self._launch_for(places)
        if foreign:
            self.engine.wait_for(foreign.streams, stream, self.device)
        self._queue(launch, stream, places)
        if foreign and foreign.owners:
            self.engine.hold(foreign.owners, self.device, stream)
        if out is not None:
            self.library.wrote(out)
        return result if self.is_simple else self._handed_over(result, out is None, indices)

    def _queue(self, launch: Any, stream: int, places: Places) -> None:
        if not launch.elements:
            launch.queue(self.device, stream, places)
            return
        with self.engine.Scratch(self.library, launch.elements, self.device, stream) as address:
            launch.queue(self.device, stream, [*places, address])

    def _launch_for(self, places: Places) -> Any:
        """A launch for fresh results that do not begin on a multiple of ALIGNED."""
        call = self.call
        inputs = len(call.signatures) - len(call.left_out) - 1
        layouts: Any = call.layouts
        for name, address in zip(("y", "indices"), places[inputs:], strict=False):
            if address:
                layout = getattr(layouts, name)._replace(offset=address % ALIGNED)
                layouts = layouts._replace(**{name: layout})
        return call._replace(layouts=layouts).algorithm.plan(call.spec, layouts, call.device)

    def wrong_out(self, places: Places) -> str | None:
        out, (first, end) = places[-1], self.out_reach
        begin, end = out + first, out + end
        for place, input_first, input_end in self.reaches:
            if begin < places[place] + input_end and places[place] + input_first < end:
                return wrong_memory(self.call, places)
        return None


def replay_of(call: "Call") -> Replay:
    """A call made ready."""
    return CpuReplay(call) if call.input.device is None else GpuReplay(call)
