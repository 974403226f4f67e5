"""The benchmark's own proof: its workloads are the published ones, its check and its arithmetic are right."""
