"""How much error a convolution may make where its call does not say: a choice for the whole program."""

import os
from typing import Any

from gpuconv.spec import check_precision

default: str | None = os.environ.get("GPUCONV_PRECISION") or None  # a part of what calls are remembered by


def precision_meant(precision: Any) -> Any:
    """What a call's `precision` says: the program's, if it is None."""
    return program_precision() if precision is None else precision


def program_precision() -> str | None:
    """What `precision=None` means; ValueError if the environment says it, and wrongly."""
    check_precision(default, "$GPUCONV_PRECISION")
    return default


def set_precision(name: str | None) -> None:
    """Choose what `precision=None` means, in every call from now on.

    Parameters
    ----------
    name : str or None
        "ieee", "tf32", or None: see `conv2d`. At first it is $GPUCONV_PRECISION, or None.

    Raises
    ------
    ValueError
        If `name` is none of these.

    Examples
    --------
    >>> import gpuconv
    >>> gpuconv.set_precision("ieee")
    >>> gpuconv.set_precision(None)
    """
    global default
    check_precision(name, "name")
    default = name
