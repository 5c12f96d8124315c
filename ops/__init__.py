"""The drivers behind `make`: each target is one command of this package."""
