"""The rooms of benchmark.py: what it times, trains and compares."""
