"""What is added to a sum of products before it is a result: today the bias, said here and nowhere else.

A sum may be added up in blocks of products, each block to what y holds. Where the bias comes in:

    family                                     the sum begins with      is complete
    conv_direct                                the bias, in y           after its last block of channels
    conv_depthwise on images (`stream`)        the bias, in registers   when a row of outputs is stored
    conv_depthwise on bands (`window`)         `start`, in the first    with the last block
    conv_depthwise_channels (`channels`)       block of a tile:         likewise
    conv_batch, conv_small (`gather`)          y = start + sums,        likewise
    conv_implicit_gemm (`product`)             then y = y + sums        likewise
    conv_winograd                              nothing                  when it is stored: `finished`

So a bias costs no step of its own, except in the last, where rows of vectors are `finished`; element by
element it is the same formula. What must see a complete sum has its place where the third column says.
"""

from gpuconv.cpu.engine.compiled import merged
from gpuconv.cpu.simd import fma, pointer


@merged
def start(bias, k):
    """What the sum of output channel k begins with."""
    return bias[k]


@merged
def starts(bias, k):
    """Where that of channel k lies, and behind it those of the next channels."""
    return pointer(bias, k)


@merged
def finished(total, scale, offset):
    """A result from a complete sum: vectors, `offset` the start of the output channel."""
    return fma(total, scale, offset)
