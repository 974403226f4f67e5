"""The benchmark: every algorithm on every layer, checked, then timed beside the other libraries.

    python -m profiling.bench --quick
    python -m profiling.bench --workload resnet50 --workload pools --threads 1,2
    python -m profiling.bench --device cuda
    python -m profiling.bench --import-time

An algorithm takes part by standing in its engine's list, a peer by being installed. A layer's contestants
get the same arrays and threads in this one process and take turns, so only ratios of one run are comparable.
`results/README.md` explains the file that is written. `latency.py` measures what a call costs the host,
`ncu.py` is what Nsight Compute looks at.
"""
