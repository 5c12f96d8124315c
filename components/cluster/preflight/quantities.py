"""Quantities of Kubernetes (`500m`, `8Gi`) as numbers."""

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    **{s: Decimal(1000) ** n for n, s in enumerate(("n", "u", "m"), -3)},
    **{s: Decimal(1000) ** n for n, s in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{s: Decimal(1024) ** n for n, s in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
"""Multiplier by suffix, as in the API reference's `Quantity`."""


def amount(quantity: object) -> Decimal:
    """Return the number of a quantity.

    Raises:
        ValueError: The value is not a quantity.
    """
    match = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", str(quantity))
    if not match or match[2] not in _SUFFIXES:
        raise ValueError(f"{quantity!r} is not a quantity")
    return Decimal(match[1]) * _SUFFIXES[match[2]]
