"""The benchmarks: each measures our way and its rival in the same run, several times."""
