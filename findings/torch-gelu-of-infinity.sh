#!/usr/bin/env bash
# PyTorch's gelu of an infinity is NaN where oneDNN computes it with AVX-512, but for one element alone.
#
# Seen with PyTorch 2.13.0 on an Intel Xeon (Ice Lake): gelu of 64 float32 infinities, in its exact form, is 64 times
# NaN. That of one is inf, as it is of 64 in float64, with approximate="tanh", or with torch.backends.mkldnn turned
# off. So a network's result is inf or NaN by how many numbers a tensor holds. With ONEDNN_MAX_CPU_ISA=AVX2 all are inf.
set -euo pipefail
if ! grep -qs avx512dq /proc/cpuinfo; then
    echo "this takes a processor with AVX-512" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
from torch.nn.functional import gelu

one, many = torch.full((1,), math.inf), torch.full((64,), math.inf)
found = {
    "one": gelu(one), "64": gelu(many), "64 in float64": gelu(many.double()), "64 by tanh": gelu(many, approximate="tanh"),
}
with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):
    found["64 without oneDNN"] = gelu(many)
print(f"torch {torch.__version__}, gelu of infinities:", {name: values[0].item() for name, values in found.items()})
assert found.pop("64").isnan().all()
assert all((values == math.inf).all() for values in found.values())
PYTHON
