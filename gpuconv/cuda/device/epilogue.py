"""What is done to a sum when it is complete: each store applies it once, at the end.

Sums that several blocks share are added up plainly, and finished by the kernel that adds them up.
"""

from gpuconv.cuda.device.elements import inlined


@inlined
def finish(total, bias):
    """What is stored of a sum; the bias is 0 where there is none."""
    return total + bias
