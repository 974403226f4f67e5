"""The command `python -m profiling.export`: which problem, by which algorithm, for which GPU."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gpuconv.cuda import ARCHITECTURES
from gpuconv.cuda.runtime.gpu import GPUS
from gpuconv.spec import ConvSpec, PoolSpec, Spec
from gpuconv.spec.dtypes import FLOATS
from profiling.export.folder import EXPECTED_BY, export
from profiling.workloads import WORKLOADS, is_forward

SUMMARY = "a call's kernels as a folder: PTX, arguments, arrays, and what is expected of them"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder."""
    parser = _parser()
    options = parser.parse_args(arguments)
    gpu = GPUS[options.gpu]
    try:
        spec = _spec(options)
        done = export(options.out, spec, options.algorithm, gpu, options.arch or gpu.arch, options.expect)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"wrote {options.out}: {done}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m profiling.export", description=SUMMARY)
    add = parser.add_argument
    add("out", type=Path, metavar="FOLDER", help="a new one, or one that is empty")
    add("--workload", choices=WORKLOADS, help="with --layer, instead of --shape")
    add("--layer", metavar="LABEL", help="of the workload, as the tables of profiling.model call it")
    add("--batch", type=int, metavar="N", help="images of the layer, instead of its own number")
    add("--shape", type=int, nargs=4, metavar=("N", "C", "H", "W"), help="of the input")
    add("--filters", type=int, nargs=3, metavar=("K", "R", "S"), help="of a convolution")
    add("--pool", choices=("max", "min", "mean"), help="instead of a convolution, with --window")
    add("--window", type=int, nargs=2, metavar=("R", "S"))
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
        add(f"--{name}", type=int, default=default, help="%(default)s")
    add("--dtype", choices=FLOATS, default=FLOATS[0], help="%(default)s")
    add("--algorithm", metavar="NAME", help="that which a call selects, if left out")
    add("--gpu", choices=GPUS, default="h200", help="that is planned for, %(default)s")
    add("--arch", choices=ARCHITECTURES, help="that the PTX is for: the GPU's, if left out")
    by = "what computes the expected arrays, %(default)s: of large problems the CPU engine is faster"
    add("--expect", choices=EXPECTED_BY, default=EXPECTED_BY[0], help=by)
    return parser


def _spec(options: argparse.Namespace) -> Spec:
    """The problem; ValueError if the options do not say one."""
    given = options.workload and options.layer, options.filters, options.pool and options.window
    if sum(map(bool, given)) != 1 or bool(options.shape) == bool(options.workload):
        raise ValueError("one of --workload and --layer, --shape and --filters, --shape, --pool and --window")
    if options.workload:
        spec = _of_layer(options.workload, options.layer)
        return replace(spec, N=spec.N if options.batch is None else options.batch, dtype=options.dtype)
    twice = (options.stride,) * 2, (options.dilation,) * 2
    pads = ((options.padding,) * 2,) * 2
    if options.pool:
        found = PoolSpec(options.pool, *options.shape, *options.window, pads, *twice, dtype=options.dtype)
    else:
        found = ConvSpec(
            *options.shape, *options.filters, pads, *twice, groups=options.groups, dtype=options.dtype
        )
    return found


def _of_layer(workload: str, name: str) -> Spec:
    layers = {layer.label: layer.spec for layer in WORKLOADS[workload]().layers if is_forward(layer.spec)}
    if name not in layers:
        raise ValueError(f"{workload} has no layer {name!r}; it has {', '.join(map(repr, layers))}")
    return layers[name]
