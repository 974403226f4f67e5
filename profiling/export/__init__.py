"""A call's kernels as a folder, for simulators and other tools: programs, arguments, arrays, results.

    python -m profiling.export out --shape 1 8 16 16 --filters 32 3 3 --padding 1 --algorithm conv_winograd
    python -m profiling.export out --shape 1 4 64 64 --pool max --window 2 2 --stride 2 --gpu a100
    python -m profiling.export out --workload resnet50 --layer "3x3 64->64 @56" --batch 1 --arch sm_80

The launches are those that a call on contiguous arrays would queue on the GPU that they are planned for, one
after the other, on random data; there is no bias. The folder holds

    launch.json           all that follows, and what it depends on
    x.npy, w.npy          the arrays that are read
    0.ptx, 1.ptx, ...     the program of each launch
    0.arguments           its packed arguments, as `cuLaunchKernel` takes them in one buffer
    0.y.npy, ...          what an array holds after the launch, where it has changed

and launch.json

    problem, spec, algorithm, planned_for, arch    what is computed, by what, for which GPU; what PTX is for
    expected_by       "executor": `tests.ptx` carried out this PTX, so that a GPU should give the same bits,
                      but where it approximates; "cpu": gpuconv's CPU engine computed the result, with sums in
                      another order, and what lies between two launches is not known
    cpu_difference    max |y - y of the CPU engine| / max |y of the CPU engine|: no more than 1e-4, or nothing
                      is exported; null with "cpu"
    tolerance         how far a result may lie from what is expected, over the greatest that is expected
    arrays            name, dtype, shape, bytes, role (input, output, or scratch: memory between two launches)
                      and file; where it is null, NaN stood there before the first launch
    launches          kernel, ptx, entry, grid, block, shared_bytes (dynamic), arguments, argument_bytes,
                      parameters, and expected: array and file of each that has changed
    parameters        name, type in PTX, offset and bytes in the packed arguments, and a scalar's value or the
                      array whose address is to be put there, `begin` bytes on; null for a null pointer
    sha256            of each other file

What is packed is little-endian; until addresses are put there, pointers are 0. Arrays begin on multiples of
256 bytes at least.
"""
