"""Namespaces and network flows."""
