"""gpuconv for JAX on the CPU: convolutions and pools for `jax.jit`, `jax.vmap` and `jax.grad`.

>>> import jax, jax.numpy as jnp, gpuconv.jax
>>> loss = lambda w: gpuconv.jax.conv2d(jnp.ones((1, 1, 3, 3)), w).sum()
>>> jax.jit(jax.grad(loss))(jnp.ones((1, 1, 2, 2)))
Array([[[[4., 4.],
         [4., 4.]]]], dtype=float32)

`import gpuconv` does not import it, nor JAX.
"""

try:
    import jax as _jax  # noqa: F401
except ImportError as error:
    raise ImportError("gpuconv.jax needs JAX: pip install jax") from error

from gpuconv.jax import gradients  # noqa: F401  (they are found by the names of operators)
from gpuconv.jax.functions import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    lp_pool2d,
    max_pool2d,
    min_pool2d,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "lp_pool2d",
    "max_pool2d",
    "min_pool2d",
]
