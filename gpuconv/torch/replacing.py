"""The convolutions and pools of a model, computed by gpuconv from then on.

A module becomes one of ours by its class, and stays the object that it is: with its parameters, buffers,
hooks and mode of training, and wherever it is shared.
"""

import warnings
from functools import cache
from typing import Any, TypeVar

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gpuconv.torch.modules import MODULES

Model = TypeVar("Model", bound=nn.Module)
COMPUTES = "forward", "_conv_forward"  # what a subclass may compute with by itself


def replace(model: Model) -> Model:
    """Have gpuconv compute the convolutions and pools of a model, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Its modules of the kinds that `gpuconv.torch` has, and itself, if it is one, become ours. A subclass
        is computed by us, too, unless it has a `forward` of its own: that is left alone, with a warning.
        Calls of `torch.nn.functional` are not modules, and stay PyTorch's.

    Returns
    -------
    torch.nn.Module
        The same model. Modules are the objects that they were, and so are their parameters.

    Raises
    ------
    TypeError
        If it is no module.

    Warns
    -----
    UserWarning
        Of what is left alone.

    Examples
    --------
    >>> import torch, gpuconv.torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> gpuconv.torch.replace(model)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): ReLU()
      (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    )
    >>> type(model[0]).__module__
    'gpuconv.torch.modules'
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    left = []
    for name, module in model.named_modules():
        base: Any = next((kind for kind in type(module).__mro__ if kind in MODULES), None)
        if base is None or isinstance(module, MODULES[base]):
            continue
        if _computes_by_itself(module, base):
            left.append(f"{name or 'the model'} ({type(module).__name__})")
        else:
            module.__class__ = _class_of(module, base)
    if left:
        warnings.warn(
            f"gpuconv leaves these modules as they are, which have a forward of their own: {', '.join(left)}",
            stacklevel=2,
        )
    return model


def _computes_by_itself(module: nn.Module, base: type) -> bool:
    kind = type(module)
    return "forward" in vars(module) or any(
        getattr(kind, name, None) is not getattr(base, name, None) for name in COMPUTES
    )


def _class_of(module: nn.Module, base: Any) -> Any:
    """The class of ours for a module: of a parametrized one, too, one of its own, of which ours is the base.

    That is how `torch.nn.utils.parametrize` makes it, and takes it away from the module again.
    """
    kind: Any = type(module)
    if not is_parametrized(module):
        return _ours(kind, base)
    own = {name: each for name, each in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (_ours(kind.__bases__[0], base),), own)


@cache
def _ours(kind: Any, base: Any) -> Any:
    """The class of ours; of a user's subclass one of both, which has its name and is pickled by the two."""
    if kind is base:
        return MODULES[base]
    attributes: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__reduce_ex__": lambda self, protocol: (_made_anew, (kind, base), self.__getstate__()),
    }
    if getattr(kind, "cls_to_become", None) is not None:  # of a lazy module, once it knows its shapes
        attributes["cls_to_become"] = MODULES[base]
    return type(kind.__name__, (kind, MODULES[base]), attributes)


def _made_anew(kind: Any, base: Any) -> Any:
    """A module of such a class, without its state."""
    ours = _ours(kind, base)
    return ours.__new__(ours)
