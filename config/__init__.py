"""Typed parameters of a stack: models, loading, checks and what derives from them."""
