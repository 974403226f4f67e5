r"""What a window is reduced to: how two values combine, and long sums, which are added pairwise.

    blocks    0   1   2   3   4   5   6         each the sum of about TERMS terms, one after the other
               \ /     \ /     \ /    |
    level 1    01      23      45     |         a sum waits at its level for its neighbour, so that of n
                  \   /        |      |         blocks log2(n) levels hold one or none: the bits of n
    level 2       0123        45      6

So what is rounded grows with the logarithm of the number of terms, and not with their number: a sum of n
terms that are not negative is off by less than 4 log2(n) eps of itself. What is added stays a sum of terms
alone, so that infinities do no more than they must, as they would in a compensated sum.
"""

from gpuconv.cpu.engine.compiled import inlined, merged
from gpuconv.cpu.simd import greatest, lanes, least_bits, load, store

TERMS = 32  # that are added one after the other
LEVELS = 64  # sums that may wait, of more blocks than there can be


@inlined
def combine(a, b, divisor):
    """The reduction of two vectors, lane by lane: the greatest, `a` among equals, if `divisor` is None."""
    return greatest(a, b) if divisor is None else a + b


@inlined
def noticed(seen, vector, divisor):
    """`seen`, which knows of every negative zero of maxima, with those of another vector."""
    return least_bits(seen, vector) if divisor is None else seen


@inlined
def push(waiting, blocks, total):
    """The number of blocks with this one; their sums wait in the vectors from the pointer `waiting` on."""
    level = 0
    while blocks >> level & 1:
        total = load(waiting, level * lanes(waiting)) + total
        level += 1
    store(waiting, level * lanes(waiting), total)
    return blocks + 1


@inlined
def complete(waiting, blocks, total):
    """The sum of `total` and of what waits after so many blocks."""
    level = 0
    while blocks >> level > 0:
        if blocks >> level & 1:
            total = load(waiting, level * lanes(waiting)) + total
        level += 1
    return total


@merged
def push_number(waiting, blocks, total):
    """`push` of a number; sums wait in the elements of the array `waiting`."""
    level = 0
    while blocks >> level & 1:
        total = waiting[level] + total
        level += 1
    waiting[level] = total
    return blocks + 1


@merged
def complete_number(waiting, blocks, total):
    """`complete` of a number."""
    level = 0
    while blocks >> level > 0:
        if blocks >> level & 1:
            total = waiting[level] + total
        level += 1
    return total
