"""`gpuconv.jax`: mirrors its modules."""
