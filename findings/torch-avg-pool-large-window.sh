#!/usr/bin/env bash
# PyTorch's avg_pool2d of one large window is off by 42 %, where adaptive_avg_pool2d of the same plane is right.
#
# Seen with PyTorch 2.13.0 on a CPU: a plane of 6000 x 6000 float32 numbers, all 0.1. avg_pool2d with a window of the
# whole plane gives 0.0583, since it adds one number after the other to one float32: from 2^20 on, adding 0.1 rounds to
# 0.125, and from 2^21 on to 0. adaptive_avg_pool2d(x, 1) and x.mean() give 0.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

plane = torch.full((1, 1, 6000, 6000), 0.1)
pooled = torch.nn.functional.avg_pool2d(plane, 6000).item()
adaptive = torch.nn.functional.adaptive_avg_pool2d(plane, 1).item()
print(f"torch {torch.__version__}: avg_pool2d {pooled}, adaptive_avg_pool2d {adaptive}, mean {plane.mean().item()}")
assert 0.055 < pooled < 0.062
assert abs(adaptive - 0.1) < 1e-6 and abs(plane.mean().item() - 0.1) < 1e-6
PYTHON
