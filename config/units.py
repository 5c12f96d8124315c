"""Units between which parameters are converted, and how exactly they are compared."""

MIB_PER_GIB = 1024
KIB_PER_MIB = 1024
BYTES_PER_KIB = 1024
BYTES_PER_MIB = KIB_PER_MIB * BYTES_PER_KIB

FLOAT_SLACK = 1e-9
"""Share by which two numbers may differ and be equal: what decimal parameters such as 0.02 lose in
binary, with room; far below any difference that a parameter can make."""
