"""A plan in parts: each gets pointers that begin further on, and memory of its own behind that of all."""

from dataclasses import dataclass, field

from gpuconv.cuda.runtime.passes import Parts, Step, convolution


@dataclass
class Noting:
    elements: int
    queued: list = field(default_factory=list)

    def queue(self, ordinal, stream, pointers):
        self.queued.append((ordinal, stream, pointers))


def test_pointers_are_moved_but_for_those_that_are_left_out():
    first, second = Noting(0), Noting(9)
    parts = Parts((convolution(first, (0, 4, 8, 12)), convolution(second, (100, 0, 1, 2))), 4)
    assert parts.elements == 9
    parts.queue(1, 7, [1000, 2000, 0, 3000, 4000])
    assert first.queued == [(1, 7, [1000, 2004, 0, 3012])]
    assert second.queued == [(1, 7, [1100, 2000, 0, 3002, 4000])]


def test_steps_share_memory_and_have_their_own_behind_it():
    first, second = Noting(0), Noting(5)
    steps = Step(first, ((0, 0), (2, 0))), Step(second, ((2, 8), (None, 0), (1, 0)))
    parts = Parts(steps, 2, between=10)
    assert parts.elements == 15
    parts.queue(0, 0, [100, 200, 1000])
    assert first.queued == [(0, 0, [100, 1000])]
    assert second.queued == [(0, 0, [1008, 0, 200, 1040])]
