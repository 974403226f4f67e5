"""`gpuconv.torch`: mirrors its modules."""
