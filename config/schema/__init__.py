"""The parameters' schema: its tree, errors, JSON schema and reference."""
