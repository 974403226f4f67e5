"""For PyInstaller: what it cannot know from the statements that import modules."""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_data_files

module_collection_mode = {"gpuconv": "py"}  # compiled code is told by the sources that it was compiled from
datas = collect_data_files("gpuconv", excludes=["**/__pycache__"])
hiddenimports = [name for name in ("ml_dtypes",) if find_spec(name)]  # named where bfloat16 is met
# imported when such arrays come
hiddenimports += ["gpuconv.blocks"] * bool(find_spec("dask")) + ["gpuconv.labels"] * bool(find_spec("xarray"))
