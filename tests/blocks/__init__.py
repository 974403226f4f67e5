"""Dask arrays: graphs of calls on blocks."""
