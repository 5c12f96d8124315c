"""Rollouts: their progress, their obstacles, and the wait for them."""
