"""GPU nodes and the device plugin that makes their GPUs known."""
