"""Triton: its component, its workload, its model repository and the watchdog of its models."""
