"""Benchmarks; each measures the stack and its rival in the same run, several times."""
