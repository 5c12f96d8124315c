"""The regular expression of short `grpc-timeout` headers."""

_UNITS_PER_SECOND = {"n": 10**9, "u": 10**6, "m": 10**3, "S": 1, "M": 1 / 60, "H": 1 / 3600}
"""Units of time in gRPC (PROTOCOL-HTTP2.md, "TimeoutUnit")."""


def at_most(seconds: float) -> str:
    """Return the expression of all timeouts up to a number of seconds."""
    units = _UNITS_PER_SECOND.items()
    return "|".join(f"0*({_numbers(int(seconds * each + 1e-6))}){unit}" for unit, each in units)


def _numbers(largest: int) -> str:
    """Return the expression of all decimal numbers up to `largest`, without leading zeros."""
    digits = str(largest)
    shorter = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    smaller = [
        f"{digits[:place]}[0-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit != "0"
    ]
    return "|".join([*shorter, *smaller, digits])
