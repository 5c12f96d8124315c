"""Units of parameters, and the precision of comparisons."""

MIB_PER_GIB = 1024
KIB_PER_MIB = 1024
BYTES_PER_KIB = 1024
BYTES_PER_MIB = KIB_PER_MIB * BYTES_PER_KIB
GB_PER_GIB = (BYTES_PER_MIB * MIB_PER_GIB) / 1e9

EPSILON = 1e-9
"""Relative difference up to which two numbers count as equal. It exceeds the rounding error of
decimal parameters such as 0.02 in binary, and is far below any difference of two parameters."""
