"""Namespaces and NetworkPolicies."""
