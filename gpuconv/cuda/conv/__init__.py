"""The convolutions of the CUDA engine, a room each."""
