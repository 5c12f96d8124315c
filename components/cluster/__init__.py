"""The cluster: its provider, questions to its API server, and preflight."""
