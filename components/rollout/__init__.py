"""Rollouts: how far one is, why it does not go on, and the wait for it."""
