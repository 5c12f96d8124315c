"""The commands, a module each; `ops.cli` says how one is added."""
