"""What torch is doing with the operators that are called: transformations that do not see a call of gpuconv.

They see torch's operators alone, custom ones too. What is computed beside them they take for a constant, or
their tensors hold no values, so that a call would give the numbers of somewhere else in memory without a
word. It is refused where one of them is under way, and within custom operators there is none. What they are
is asked of each call: whether any is under way takes four looks at what torch keeps for the thread.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import forward_ad

_C: Any = torch._C
_functorch: Any = _C._functorch
_is_tracing, _modes, _innermost = (
    _C._is_tracing,
    _C._len_torch_dispatch_stack,
    _functorch.peek_interpreter_stack,
)

OF_MODES = {  # by torch's keys for the modes that replace tensors
    "PROXY": "make_fx",
    "FAKE": "FakeTensorMode",
    "FUNCTIONAL": "functionalization",
}
OF_LEVELS = {  # by torch's names for the transformations of torch.func; Vmap does nothing to other tensors
    "Functionalize": "torch.func.functionalize",
    "Grad": "torch.func.grad, vjp or jacrev",
    "Jvp": "torch.func.jvp or jacfwd",
}
UNSEEN = "{name} is passed under %s, which does not see what gpuconv computes: %s"
WAY_OUT = "use the functions of gpuconv.torch, or make the call outside"


def refuse(names: tuple[str, ...], arrays: Iterable[Any]) -> None:
    """Refuse a call of torch's tensors that a transformation under way would not see.

    Raises
    ------
    TypeError
        Naming the argument: the first, or the one that is transformed.
    """
    if forward_ad._current_level < 0 and _innermost() is None and not _is_tracing() and not _modes():
        return
    given = [(name, each) for name, each in zip(names, arrays, strict=True) if isinstance(each, torch.Tensor)]
    if (under := _under_way()) is not None:
        raise TypeError(UNSEEN.format(name=given[0][0]) % (under, WAY_OUT))
    for name, tensor in given:
        if _functorch.is_functorch_wrapped_tensor(tensor):
            raise TypeError(UNSEEN.format(name=name) % ("torch.func.vmap", WAY_OUT))
        if _has_tangent(tensor):
            raise TypeError(
                f"{name} has a tangent of forward-mode differentiation, which gpuconv does not record: pass "
                f"torch.autograd.forward_ad.unpack_dual({name}).primal"
            )


def _under_way() -> str | None:
    """The transformation that no tensor at all may be computed with under; the innermost."""
    if _is_tracing():
        return "torch.jit.trace"
    keys = _C._TorchDispatchModeKey.__members__
    for key, mode in OF_MODES.items():
        if key in keys and _C._get_dispatch_mode(keys[key]) is not None:
            return mode
    levels = [level.key().name for level in reversed(_functorch.get_interpreter_stack() or ())]
    return next((OF_LEVELS.get(level, level) for level in levels if level != "Vmap"), None)


def _has_tangent(tensor: Any) -> bool:
    if forward_ad._current_level < 0 or not _C._is_fwd_grad_enabled():
        return False
    return forward_ad.unpack_dual(tensor).tangent is not None
