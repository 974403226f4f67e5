"""`gpuconv compile`: fill the caches ahead of the first call, for GPUs also on a machine that has none."""

from collections.abc import Sequence

from gpuconv.commands.compile_gpu import compile_for_gpus, refuse_unknown


def compile_ahead(architectures: Sequence[str] | None = None, cpu: bool = False, kernel: str = "") -> int:
    """Compile the GPU kernels for `architectures`, the CPU kernels, or both; returns exit code 0.

    Parameters
    ----------
    architectures : sequence of str, optional
        Such as "sm_90a"; all that are known unless given, but none if `cpu` is given alone.
    cpu : bool
        Compile the CPU kernels, for all dtypes.
    kernel : str
        Only kernels with this in their name.

    Raises
    ------
    CommandError
        For an unknown architecture or kernel, a missing GPU engine, or a cache that cannot be written.
    """
    for_gpus = architectures is not None or not cpu
    refuse_unknown(architectures or ())
    if cpu:  # first, since it may refuse
        from gpuconv.commands.compile_cpu import compile_for_cpu, jobs_of

        found = jobs_of(kernel)
    if for_gpus:
        compile_for_gpus(architectures, kernel)
    if cpu:
        compile_for_cpu(found)
    return 0
