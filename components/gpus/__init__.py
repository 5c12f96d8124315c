"""GPU nodes and the device plugin that advertises their GPUs."""
