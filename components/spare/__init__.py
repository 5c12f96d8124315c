"""Warm spares: room on the nodes that a new replica takes at once."""
