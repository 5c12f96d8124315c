"""The cluster: its provider, the client of its API server, and preflight."""
