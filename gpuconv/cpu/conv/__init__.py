"""The convolutions of the CPU engine."""
