"""Benchmarks: one file is one command, `python -m benchmarks.NAME`; docs/benchmarks.md lists them."""
