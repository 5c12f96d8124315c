"""Envoy's bootstrap, its check by Envoy itself, and the drain; pure but for the check."""
