"""Products of warpgroups in flight: what each ``wgmma`` uses until a wait covers it.

Between its issue and that wait, the accumulators and the registers of A belong to the product.
Products that accumulate in the same registers, of the same shape and types, follow one another in
order. ``wgmma.fence`` must come between other accesses to those registers and a product (reads of
the registers of A excepted), and before the first product of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .async_reads import WARPGROUP, AsyncReads
from .faults import AsynchronousError
from .lanes import Active
from .syntax import Register

if TYPE_CHECKING:
    from .machine import Machine

UNCOMMITTED = -1


@dataclass(frozen=True)
class Uses:
    """Registers of one ``wgmma`` instruction: `sources` are those of A, if it is in registers."""

    accumulators: tuple[Register, ...]
    sources: tuple[Register, ...]
    shape: tuple[str, ...]

    def conflict(self, earlier: Uses) -> Register | None:
        """A register that cannot be shared with an earlier product still in flight."""
        if self.accumulators != earlier.accumulators or self.shape != earlier.shape:
            for register in self.accumulators:
                if register in earlier.accumulators:
                    return register
        for register in self.accumulators:
            if register in earlier.sources:
                return register
        return next((register for register in self.sources if register in earlier.accumulators), None)


@dataclass(eq=False)
class Product:
    """One ``wgmma`` that some warpgroups have issued together.

    Attributes
    ----------
    uses : Uses
    alive : ndarray of bool, shape (warpgroups of the machine,)
        For which of them it is not complete.
    group : ndarray of int64, same shape
        Number of the group that it was committed to.
    warpgroups : ndarray of int
        Those that issued it.
    granules : ndarray, shape (len(warpgroups), n)
        Granules of shared memory that it reads.
    """

    uses: Uses
    alive: np.ndarray
    group: np.ndarray
    warpgroups: np.ndarray
    granules: np.ndarray


class Products:
    """Extension of a machine: all products in flight, in the order of their issue."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.states = machine.states
        self.reads = machine.extension(AsyncReads)
        self.count = machine.lanes // WARPGROUP
        self.begin()

    def begin(self) -> None:
        self.flying: list[Product] = []
        self.committed = np.zeros(self.count, np.int64)
        self.fenced = np.zeros(self.count, bool)

    # -- fences ----------------------------------------------------------------------------------

    def fence(self, active: Active) -> None:
        self.fenced[active.groups(WARPGROUP)] = True
        self.states.forget_accesses(active)

    def check(self, active: Active, uses: Uses) -> None:
        """Raise unless the active warpgroups may start a product on these registers."""
        warpgroups = active.groups(WARPGROUP)
        if not self.fenced[warpgroups].all():
            bad = warpgroups[~self.fenced[warpgroups]]
            raise AsynchronousError("wgmma without a wgmma.fence before it", lane=int(bad[0]) * WARPGROUP)
        for register in uses.accumulators + uses.sources:
            touched = self.states.accessed_by(register, active, reads=register in uses.accumulators)
            if touched is not None:
                raise AsynchronousError(
                    f"wgmma uses {register}, which another instruction has accessed, with no "
                    "wgmma.fence since",
                    lane=touched,
                )
        for earlier in self.flying:
            shared = uses.conflict(earlier.uses)
            if shared is not None and earlier.alive[warpgroups].any():
                lane = int(warpgroups[earlier.alive[warpgroups]][0]) * WARPGROUP
                raise AsynchronousError(f"{shared} is in use by another wgmma in flight", lane=lane)

    # -- the life of a product -------------------------------------------------------------------

    def issue(self, active: Active, uses: Uses, granules: np.ndarray) -> None:
        warpgroups = active.groups(WARPGROUP)
        alive = np.zeros(self.count, bool)
        alive[warpgroups] = True
        for register in uses.accumulators + uses.sources:
            busy = self.states.busy.get(register)
            self.states.busy[register] = active.mask.copy() if busy is None else busy | active.mask
        group = np.full(self.count, UNCOMMITTED)
        self.flying.append(Product(uses, alive, group, warpgroups, granules))

    def commit(self, active: Active) -> None:
        """All products of the active warpgroups that belong to no group yet become one group."""
        mine = np.zeros(self.count, bool)
        mine[active.groups(WARPGROUP)] = True
        for product in self.flying:
            open_ones = mine & product.alive & (product.group == UNCOMMITTED)
            product.group[open_ones] = self.committed[open_ones]
        self.committed[mine] += 1

    def wait(self, active: Active, pending: int) -> None:
        """Complete all groups of the active warpgroups but the latest `pending`."""
        mine = np.zeros(self.count, bool)
        mine[active.groups(WARPGROUP)] = True
        released: dict[Register, None] = {}
        for product in self.flying:
            over = mine & product.alive & (product.group != UNCOMMITTED)
            over &= product.group < self.committed - pending
            if over.any():
                chosen = over[product.warpgroups]
                self.reads.complete(product.granules[chosen], product.warpgroups[chosen])
                product.alive &= ~over
                released.update(dict.fromkeys(product.uses.accumulators + product.uses.sources))
        self.flying = [product for product in self.flying if product.alive.any()]
        self._set_busy(released)

    def _set_busy(self, registers: dict[Register, None]) -> None:
        """Work out anew in which lanes registers are in use."""
        busy: dict[Register, np.ndarray] = {}
        for product in self.flying:
            lanes = np.repeat(product.alive, WARPGROUP)
            for register in product.uses.accumulators + product.uses.sources:
                busy[register] = busy[register] | lanes if register in busy else lanes
        for register in registers:
            if register in busy:
                self.states.busy[register] = busy[register]
            else:
                self.states.busy.pop(register, None)
