#!/usr/bin/env bash
# Of several NaN PyTorch's max_pool2d gives the index of the last, torch.max of the first.
#
# Seen with PyTorch 2.13.0 on a CPU, on NaN, 1, NaN: max_pool2d(return_indices=True) says 2, torch.max(dim=) says 0; on
# 1, 3, 3 both say 1, the first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

nan = float("nan")
found = {}
for name, values in {"NaN, 1, NaN": [nan, 1, nan], "1, 3, 3": [1.0, 3, 3]}.items():
    row = torch.tensor(values)
    _, index = torch.nn.functional.max_pool2d(row.reshape(1, 1, 1, 3), (1, 3), return_indices=True)
    found[name] = index.item(), torch.max(row, 0).indices.item()
print(f"torch {torch.__version__}: (max_pool2d, max) of {found}")
assert found == {"NaN, 1, NaN": (2, 0), "1, 3, 3": (1, 1)}
PYTHON
