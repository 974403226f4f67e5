"""What is measured on, and how its time is told.

`cpu.py` and `cuda.py` have one surface: arrays there and back, the clock, ceilings, the device's name.
`timing.py` says how repeats take turns; `multiply_adds.py` is the ceiling of arithmetic on the CPU; `idle.py`
a GPU that does nothing, for what a call costs the host. `layouts.py` holds the PTX executor against a GPU
that `driver.py` reaches without Numba and CuPy.
"""

from profiling.device.timing import Call, Timing, turns

__all__ = ["Call", "Timing", "turns"]
