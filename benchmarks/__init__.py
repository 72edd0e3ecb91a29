"""The rooms of benchmark.py: what it times, trains and compares; and what detector and tracker are worth."""
