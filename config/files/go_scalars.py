"""Values of YAML's scalars as Go's gopkg.in/yaml.v3 resolves them, and their spelling in Go."""

import math
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

PLAIN = ""
"""Tag of a scalar without a tag and without quotes."""

_WORDS: dict[str, tuple[str, object]] = {
    **dict.fromkeys(("true", "True", "TRUE"), ("!!bool", True)),
    **dict.fromkeys(("false", "False", "FALSE"), ("!!bool", False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("!!null", None)),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("!!float", math.nan)),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), ("!!float", math.inf)),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), ("!!float", -math.inf)),
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIMESTAMP = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"([Tt](?P<time>[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2})([.,](?P<fraction>[0-9]+))?(?P<zone>Z|[-+][0-9]{2}:[0-9]{2})"
    r"| (?P<bare>[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2})([.,](?P<part>[0-9]+))?)?"
)


def json_number(value: float) -> float | int:
    """Read back what Go's JSON spells: 2.0 as 2, and 1e20 with the shortest digits and zeros."""
    return int(Decimal(repr(value))) if value.is_integer() and abs(value) < 1e21 else value


def resolve(tag: str, text: str) -> tuple[str, object]:
    """Return tag and value of a scalar without quotes (yaml.v3, resolve.go)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == "." and _FLOAT.fullmatch(text):
        return _number(float(text), text)
    if text[0] in "+-0123456789":
        if tag in (PLAIN, "!!timestamp") and (stamp := timestamp(text)):
            return "!!timestamp", stamp
        plain = text.replace("_", "")
        if match := _INTEGER.fullmatch(plain):
            digits, base = next((match[name], base) for name, base in _BASES.items() if match[name])
            value = int(digits, base) * (-1 if match["sign"] == "-" else 1)
            if -(2**63) <= value < (2**63 if match["sign"] else 2**64):
                return "!!int", value
        if _FLOAT.fullmatch(plain):
            return _number(float(plain), text)
    return "!!str", text


def _number(value: float, text: str) -> tuple[str, object]:
    return ("!!float", value) if math.isfinite(value) else ("!!str", text)


def spelt_float(value: float) -> str:
    """Spell a number as Go's `%v`, which turns to exponents from 1e6 on."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    shortest = Decimal(repr(value)).normalize()
    precision, exponent = len(shortest.as_tuple().digits), shortest.adjusted() if value else 0
    form = f".{precision}g" if -4 <= exponent < 6 else f".{precision - 1}e"
    return format(value, form)


def timestamp(text: str) -> str | None:
    """Return the text that Go makes of a time; None if the text is not a time."""
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        return None
    zone = match["zone"] or "Z"
    hours, minutes = (0, 0) if zone == "Z" else (int(zone[1:3]), int(zone[4:6]))
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    try:
        year, month, day = map(int, match["date"].split("-"))
        clock = map(int, (match["time"] or match["bare"] or "0:0:0").split(":"))
        moment = datetime(year, month, day, *clock, tzinfo=timezone(offset))
    except ValueError:
        return None
    fraction = (match["fraction"] or match["part"] or "")[:9].rstrip("0")
    # Go calls an offset by its name where it is that of the machine's own time zone.
    local = moment.astimezone()
    named = "UTC" if zone == "Z" else zone.replace(":", "")
    if zone != "Z" and local.utcoffset() == offset:
        named = local.tzname() or named
    text = moment.strftime("-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "")
    return f"{year:04}{text} {moment.strftime('%z')} {named}"
