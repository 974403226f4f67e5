"""What every convolution of the CPU engine takes of the options of a spec, and what it says of them."""

from collections.abc import Collection, Mapping
from typing import Any

from gpuconv.algorithm import ANY, remark_of_precision
from gpuconv.spec import PRECISIONS, ConvSpec
from gpuconv.spec.dtypes import FLOATS
from gpuconv.spec.epilogue import NO_EPILOGUE

# a plain sum serves every precision
TAKEN: Mapping[str, Collection[Any]] = {"dtype": FLOATS, "precision": PRECISIONS}
FINISHED: Mapping[str, Collection[Any]] = {**TAKEN, "epilogue": ANY}  # what applies an epilogue as it stores


def remark_of_epilogue(spec: ConvSpec) -> str:
    """What is done to sums as they are stored."""
    if spec.epilogue == NO_EPILOGUE:
        return ""
    residual, activation, _ = spec.epilogue
    what = " and ".join([*["the residual"] * residual, *filter(None, [activation])])
    return f"with {what} before a result leaves the cache"


def remark(spec: ConvSpec) -> str:
    """Of what stores sums as they are: its precision, and its epilogue."""
    return "; ".join(filter(None, (remark_of_precision(spec), remark_of_epilogue(spec))))
