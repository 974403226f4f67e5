"""What gpuconv costs: measured beside other libraries, counted without a GPU, and predicted from such counts.

- `workloads`: the problems
- `bench`: every algorithm on every problem, checked, then timed beside the peers; what a call costs the host
- `device`: what is timed on, CPU or GPU, and how it is told; a GPU held against the PTX executor
- `counts`: what the CUDA kernels do, by the PTX executor of `tests.ptx` and the machine code
- `model`: the times of the CUDA kernels on several GPUs, predicted from counts
- `results`: the files of all of these, and how they are written
- `needs`, `progress`, `interrupts`: what a command asks for, what it says meanwhile, how it is stopped

`python -m profiling.bench`, `.kernels`, `.model` and `.latency` are the commands, `gpu_session.sh` all that
needs a device. Of the tests only `tests.ptx` is imported.
"""
