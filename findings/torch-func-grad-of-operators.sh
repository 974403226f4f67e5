#!/usr/bin/env bash
# torch.func.grad refuses every custom operator whose gradient is registered with torch.library.register_autograd.
#
# Seen with torch 2.13.0: "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev,
# ...), it must override the setup_context staticmethod", of a function that torch makes itself. Plain autograd and
# torch.compile differentiate the same operator. An autograd.Function of one's own around the operator, with a
# setup_context, works under torch.func.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import torch


@torch.library.custom_op("findings::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x.detach() * 2


twice.register_fake(torch.empty_like)
twice.register_autograd(lambda context, grad: 2 * grad)
x = torch.ones(3, requires_grad=True)
twice(x).sum().backward()
assert x.grad.tolist() == [2, 2, 2]
try:
    torch.func.grad(lambda x: twice(x).sum())(torch.ones(3))
    raise SystemExit(f"torch {torch.__version__}: torch.func.grad differentiates it")
except RuntimeError as error:
    print(f"torch {torch.__version__}: {error}")
    assert "setup_context" in str(error)
PYTHON
