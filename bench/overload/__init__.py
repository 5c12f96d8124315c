"""Overload of a stack that serves, and its record; for tests and benchmarks."""
