"""One mbarrier: what its current phase waits for, and the copies that are to complete on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .clocks import Knowledge
from .syntax import Instruction

BYTES = 8
LARGEST = (1 << 20) - 1


class Delivery(Protocol):
    """Copies that complete on an mbarrier some time later."""

    instruction: Instruction
    lane: int
    arrivals: int
    bytes: int

    def land(self, barrier: Mbarrier) -> None:
        """Write the data."""


@dataclass(eq=False)
class Mbarrier:
    """One mbarrier.

    Attributes
    ----------
    agent : int
        Which agent of the vector clocks the copies that complete on it are.
    expected, pending : int
        Arrivals for each phase, and those that the current phase still waits for.
    transactions : int
        Bytes that the current phase still waits for; may be negative for a while.
    phase : int
        Number of phases that are complete.
    observed : bool
        Whether some thread has waited for the phase before the current one.
    queue : list of Delivery
    number : int
        That of the block in the grid.
    gathered, known : ndarray
        Vector clocks of the arrivals so far, and of those until the latest complete phase; `gathered_far` and
        `known_far` are what they knew beside that.
    refused : ndarray, shape (threads of the block,)
        The latest phase for which a test by each thread has failed although it could succeed.
    meeting : int
        How often the block had met at a barrier when the latest phase completed.
    """

    position: int
    address: int
    block: int
    number: int
    agent: int
    expected: int
    pending: int
    gathered: np.ndarray
    known: np.ndarray
    refused: np.ndarray
    transactions: int = 0
    phase: int = 0
    observed: bool = True
    meeting: int = 0
    queue: list[Delivery] = field(default_factory=list)
    gathered_far: Knowledge = field(default_factory=dict)
    known_far: Knowledge = field(default_factory=dict)

    def deliveries_needed(self) -> int | None:
        """How many of the copies under way complete the phase; None if they do not."""
        pending, transactions = self.pending, self.transactions
        for count, delivery in enumerate(self.queue, 1):
            pending -= delivery.arrivals
            transactions -= delivery.bytes
            if pending == 0 and transactions == 0:
                return count
        return None

    def state(self) -> str:
        return (
            f"the mbarrier at {self.address:#x}, whose phase {self.phase} lacks {self.pending} of "
            f"{self.expected} arrivals and {self.transactions} bytes, with "
            f"{sum(delivery.bytes for delivery in self.queue)} bytes on their way"
        )
