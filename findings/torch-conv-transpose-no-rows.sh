#!/usr/bin/env bash
# Of one image, a transposed convolution that leaves no columns is an error in PyTorch; of two it is an empty result.
#
# Seen with PyTorch 2.13.0 on a CPU, with images of 3 x 1, a kernel of 1 x 2 and padding (0, 1), by which 3 x 0 are
# left: batches, but not single images, are computed by oneDNN, which does not look. Without oneDNN both are refused,
# "Output size is too small".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 "numpy<2.5"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch


def outcome(images, onednn):
    with torch.backends.mkldnn.flags(enabled=onednn):
        try:
            y = torch.nn.functional.conv_transpose2d(
                torch.ones(images, 1, 3, 1), torch.ones(1, 1, 1, 2), padding=(0, 1)
            )
        except RuntimeError as error:
            return "error" if "Output size is too small" in str(error) else str(error)
    return tuple(y.shape)


found = {}
for threads in (1, 2):
    torch.set_num_threads(threads)
    found |= {(threads, images, onednn): outcome(images, onednn) for images in (1, 2) for onednn in (True, False)}
print(f"torch {torch.__version__}: by (threads, images, oneDNN) {found}")
for (_, images, onednn), result in found.items():
    assert result == ((2, 1, 3, 0) if images == 2 and onednn else "error")
PYTHON
