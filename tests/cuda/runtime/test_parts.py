"""A plan in parts: each gets the pointers of the arrays, moved, and the memory between kernels as it is."""

from dataclasses import dataclass, field

from gpuconv.cuda.runtime.passes import Parts


@dataclass
class Noting:
    elements: int
    queued: list = field(default_factory=list)

    def queue(self, ordinal, stream, pointers):
        self.queued.append((ordinal, stream, pointers))


def test_pointers_are_moved_but_for_those_that_are_left_out_and_the_scratch():
    first, second = Noting(0), Noting(9)
    parts = Parts(((first, (0, 4, 8, 12)), (second, (100, 0, 1, 2))))
    assert parts.elements == 9
    parts.queue(1, 7, [1000, 2000, 0, 3000, 4000])
    assert first.queued == [(1, 7, [1000, 2004, 0, 3012, 4000])]
    assert second.queued == [(1, 7, [1100, 2000, 0, 3002, 4000])]
