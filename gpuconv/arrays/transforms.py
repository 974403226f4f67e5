"""What torch is doing with the operators that are called: transformations that do not see a call of gpuconv.

They see torch's operators alone, custom ones too. What is computed beside them they take for a constant, or
their tensors hold no values, so that a call would give the numbers of somewhere else in memory without a
word. It is refused where one of them is under way, and within custom operators there is none. What they are
is asked of each call: whether any is under way takes four looks at what torch keeps for the thread.
"""

from sys import modules
from typing import Any

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


class Transforms:
    """What torch keeps for the thread, once a tensor is met; torch is not imported here."""

    def __init__(self) -> None:
        torch: Any = modules["torch"]
        self._tensor, self._c, self._functorch = torch.Tensor, torch._C, torch._C._functorch
        self._forward = torch.autograd.forward_ad
        self._is_tracing, self._modes = self._c._is_tracing, self._c._len_torch_dispatch_stack
        self._innermost = self._functorch.peek_interpreter_stack

    def refuse(self, names: tuple[str, ...], arrays: tuple[Any, ...]) -> None:
        """Refuse a call of torch's tensors that a transformation under way would not see.

        Raises
        ------
        TypeError
            Naming the argument: the first, or the one that is transformed.
        """
        is_plain = self._forward._current_level < 0 and self._innermost() is None
        if is_plain and not self._is_tracing() and not self._modes():
            return
        both = zip(names, arrays, strict=True)
        given = [(name, each) for name, each in both if isinstance(each, self._tensor)]
        if (under := self._under_way()) is not None:
            raise TypeError(UNSEEN.format(name=given[0][0]) % (under, WAY_OUT))
        for name, tensor in given:
            if self._functorch.is_functorch_wrapped_tensor(tensor):
                raise TypeError(UNSEEN.format(name=name) % ("torch.func.vmap", WAY_OUT))
            if self._has_tangent(tensor):
                raise TypeError(
                    f"{name} has a tangent of forward-mode differentiation, which gpuconv does not record: "
                    f"pass torch.autograd.forward_ad.unpack_dual({name}).primal"
                )

    def _under_way(self) -> str | None:
        """The transformation that no tensor at all may be computed with under; the innermost."""
        if self._is_tracing():
            return "torch.jit.trace"
        keys = self._c._TorchDispatchModeKey.__members__
        for key, mode in OF_MODES.items():
            if key in keys and self._c._get_dispatch_mode(keys[key]) is not None:
                return mode
        levels = [level.key().name for level in reversed(self._functorch.get_interpreter_stack() or ())]
        return next((OF_LEVELS.get(level, level) for level in levels if level != "Vmap"), None)

    def _has_tangent(self, tensor: Any) -> bool:
        if self._forward._current_level < 0 or not self._c._is_fwd_grad_enabled():
            return False
        return self._forward.unpack_dual(tensor).tangent is not None
