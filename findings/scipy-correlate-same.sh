#!/usr/bin/env bash
# SciPy's signal.correlate and signal.correlate2d, both with mode="same", differ by a pixel for even kernels.
#
# Seen with SciPy 1.17.1: a single 1 in the middle of zeros and a kernel of 2x2. correlate gives its pixels at rows and
# columns 3 and 4, correlate2d at 2 and 3, with the same numbers otherwise; scipy.ndimage.correlate sides with the
# first. The documentation of both calls the output centred.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 "numpy<2.5"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy
from scipy import ndimage, signal

image = np.zeros((7, 7))
image[3, 3] = 1
kernel = np.array([[1.0, 2.0], [3.0, 4.0]])
found = {
    "signal.correlate": signal.correlate(image, kernel, "same"),
    "signal.correlate2d": signal.correlate2d(image, kernel, "same"),
    "ndimage.correlate": ndimage.correlate(image, kernel, mode="constant"),
}
first = {name: tuple(map(int, np.argwhere(np.abs(y) > 0.5)[0])) for name, y in found.items()}
print(f"scipy {scipy.__version__}: the first pixel that is not 0: {first}")
assert first == {"signal.correlate": (3, 3), "signal.correlate2d": (2, 2), "ndimage.correlate": (3, 3)}
shifted = np.roll(found["signal.correlate2d"], (1, 1), (0, 1))
assert np.allclose(found["signal.correlate"], shifted)
PYTHON
