"""Sizes that follow from the parameters."""
