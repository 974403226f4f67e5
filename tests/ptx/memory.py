"""State spaces: from addresses to positions in regions, with bounds and alignment checked."""

from __future__ import annotations

import numpy as np

from .faults import MisalignedError, OrderError, OutOfBoundsError
from .lanes import Active
from .region import Region

# Generic addresses: the upper 16 bits tell the state space, global addresses having none.
WINDOW_BITS = 48
WINDOWS = {"global": 0, "shared": 1, "local": 2, "param": 3, "frame": 4, "const": 5}
GLOBAL_BASE = 1 << 44
GLOBAL_SPACING_BITS = 42  # arrays of `tests.ptx.apart` reach far


class Space:
    """A state space that consists of one region."""

    def __init__(self, region: Region) -> None:
        self.region = region

    def place(self, addresses: np.ndarray, active: Active, size: int) -> tuple[Region, np.ndarray]:
        """The region of accesses and their positions in it.

        Raises
        ------
        OutOfBoundsError, MisalignedError
        """
        positions = self.region.locate(addresses, active, size)
        if positions is None:
            self._out_of_bounds(addresses, size)
        check_alignment(addresses, size, self.region)
        return self.region, positions

    def _out_of_bounds(self, addresses: np.ndarray, size: int) -> None:
        region = self.region
        lane = int(np.flatnonzero(region.outside(addresses, size))[0])
        raise OutOfBoundsError(
            f"access of {size} bytes beyond the {region.size} bytes of {region.name}",
            lane=lane,
            address=int(addresses[lane]),
        )


def check_alignment(addresses: np.ndarray, size: int, region: Region) -> None:
    """Raise `MisalignedError` unless all addresses are multiples of `size`."""
    if int(np.bitwise_or.reduce(addresses)) & (size - 1):
        lane = int(np.flatnonzero(addresses & (size - 1))[0])
        raise MisalignedError(
            f"access of {size} bytes is not aligned to {size}",
            lane=lane,
            address=int(addresses[lane]),
            array=region.name,
        )


class GlobalSpace:
    """Global memory: one region per array, so far apart that no stray index meets another array."""

    def __init__(self, granule: int) -> None:
        self.granule = granule
        self.regions: list[Region] = []

    def add(self, name: str, size: int, lead: int = 0, writeable: bool = True) -> Region:
        """Reserve a region whose first byte lies `lead` bytes beyond a multiple of 256."""
        base = GLOBAL_BASE + (len(self.regions) << GLOBAL_SPACING_BITS) + (1 << (GLOBAL_SPACING_BITS - 1))
        region = Region(name, "global", size, self.granule, base=base + lead, lead=lead, writeable=writeable)
        self.regions.append(region)
        return region

    def place(self, addresses: np.ndarray, active: Active, size: int) -> tuple[Region, np.ndarray]:
        """As `Space.place`, for lanes that all access the same region."""
        number = self.region_number(int(addresses[0]))
        if not 0 <= number < len(self.regions):
            raise OutOfBoundsError(
                f"access of {size} bytes outside of every array", lane=0, address=int(addresses[0])
            )
        region = self.regions[number]
        positions = region.locate(addresses, active, size)
        if positions is None:
            self._out_of_bounds(region, addresses, size)
        check_alignment(addresses, size, region)
        return region, positions

    @staticmethod
    def region_number(address: int | np.ndarray) -> int | np.ndarray:
        """Which region is meant by an address, however far it lies out of bounds."""
        return (address - GLOBAL_BASE) >> GLOBAL_SPACING_BITS

    @staticmethod
    def _out_of_bounds(region: Region, addresses: np.ndarray, size: int) -> None:
        start = region.base + region.lead
        lane = int(np.flatnonzero(region.outside(addresses, size))[0])
        offset = int(addresses[lane]) - start
        where = f"{-offset} bytes before the start" if offset < 0 else f"byte {offset}"
        raise OutOfBoundsError(
            f"access of {size} bytes at {where} of {region.name}, which has {region.size}",
            lane=lane,
            address=int(addresses[lane]),
            array=region.name,
        )


def compare(first: GlobalSpace, second: GlobalSpace, kernel: str) -> None:
    """Raise `OrderError` if two runs of a kernel have left different bytes."""
    for one, other in zip(first.regions, second.regions, strict=True):
        written = np.repeat(one.valid & other.valid, one.granule) | (one.all_valid and other.all_valid)
        differing = np.flatnonzero(written[: one.data.size] & (one.data != other.data))
        if one.writeable and differing.size:
            fault = OrderError(
                "a result depends on the order in which blocks and warps run",
                address=one.address(int(differing[0])),
                array=one.name,
            )
            fault.kernel = kernel
            raise fault
