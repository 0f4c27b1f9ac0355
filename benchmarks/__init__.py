"""Comparisons that anyone can run: `python -m benchmarks` measures nbflow beside its peers and prints one table."""
