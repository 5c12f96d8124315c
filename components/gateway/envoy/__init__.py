"""Envoy's bootstrap, its validation by Envoy, and the drain; all but the validation is pure."""
