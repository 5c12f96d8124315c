"""Gateways of other designs beside the stack's, on one bed, in one run."""
