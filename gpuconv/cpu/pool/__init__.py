"""The pools of the CPU engine."""
