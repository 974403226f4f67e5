"""The image larger than memory, of a size that fits: every way gives the same across chunks."""

import pytest

from profiling import large_image

pytest.importorskip("dask.array")
pytest.importorskip("zarr", minversion="3")


def lines(text):
    return {line.split()[0]: line for line in text.splitlines()}


def test_from_zarr_to_zarr(tmp_path, capsys):
    pytest.importorskip("scipy.ndimage")
    ways = ["blocks", "slices", "scipy"]
    arguments = ["--side", "200", "--chunk", "64", "--folder", str(tmp_path), "--ways", *ways]
    assert large_image.main(arguments) == 0
    said = lines(capsys.readouterr().out)
    assert all(" s of processors " in said[way] and " MiB " in said[way] for way in ways)
    assert not [*tmp_path.iterdir()]


def test_a_wrong_result_ends_in_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(large_image, "differences", lambda way, folder: 1.0)
    arguments = ["--side", "64", "--chunk", "32", "--folder", str(tmp_path), "--ways", "slices"]
    assert large_image.main(arguments) == 1
    assert "off by 1.0e+00" in capsys.readouterr().out
