"""Load on a stack that serves, and what the fleet makes of it; for tests and benchmarks."""
