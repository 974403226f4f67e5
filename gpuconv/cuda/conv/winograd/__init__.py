"""Winograd's minimal filtering F(2x2,3x3): 3x3 kernels at stride 1 with 2.25 times fewer products.

    y  =  A^T [ sum over c of (G g G^T) * (B^T d B) ] A + bias      (* multiplies element by element)

A tile of 2 x 2 outputs reads 4 x 4 inputs d and takes 16 products a channel where the definition takes 36.
`transform.py` has the matrices and the kernel that transforms the weights, `kernel.py` the main kernel and
the picture of its tile, `load.py` its beginning, `store.py` its end, `tiles.py` says how a problem is cut.
Transformed weights stand in memory of our own, 64 bytes for each weight matrix; inputs and sums never leave a
block. Where there are few tiles, several blocks share the input channels, and `conv/split.py` adds up their
sums in order.

Values that are not finite: a result that is not finite is computed anew within the kernel, as the definition
says, and that is enough (`direct.py`). Zero padding is multiplied like any value. A sum is one chain
of fused multiply-adds over the input channels; the greatest input of a tile bounds the error of its outputs.

What it cannot do: other kernels than 3x3, strides, dilation, float64, inputs whose columns are not side by
side, and GPUs whose blocks cannot have 97 KB of shared memory, as before sm_80. What it does badly: few
channels, as 64 outputs are computed at once, and few tiles.
"""

from gpuconv.algorithm import Algorithm
from gpuconv.cuda.conv.winograd import plan
from gpuconv.cuda.conv.winograd.kernel import KERNEL
from gpuconv.cuda.conv.winograd.transform import KERNEL as WEIGHTS_KERNEL
from gpuconv.spec.dtypes import FLOAT32

KERNELS = (KERNEL, WEIGHTS_KERNEL)
ALGORITHM = Algorithm(
    "conv_winograd",
    takes={"dtype": (FLOAT32,), "precision": (None, "tf32")},
    unsupported=plan.unsupported,
    worth=plan.worth,
    plan=plan.plan,
    fast_for="3x3 kernels with about 48 output channels or more, and enough tiles (predicted)",
    cost=plan.seconds,
)

__all__ = ["ALGORITHM", "KERNELS"]
