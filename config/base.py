"""Base of every configuration section: strictness, YAML spelling, and the field types."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

PROJECT = "kubemind-inference"
"""Pulumi project, and so the namespace of every key in a stack file."""

OWNER_TAGS = ("project", "stack")
"""AWS tags with the names of the project and the stack, on everything that has tags."""

PROJECT_FOLDER = Path(__file__).resolve().parent.parent
"""The checkout, or the installed package."""


def program_folder() -> Path:
    """Return the folder where relative paths in the parameters start.

    An installed package serves a program elsewhere, which Pulumi runs in the program's own folder.
    """
    return PROJECT_FOLDER if (PROJECT_FOLDER / "Pulumi.yaml").is_file() else Path.cwd()


STATE_FOLDER = ".state"
"""Name of the ignored folder of the checkout that holds everything local."""

ENCRYPTED = "secure"
"""Only key of the mapping that Pulumi writes to a stack file in place of a secret's value."""


def is_encrypted(value: object) -> bool:
    """Return True if a value of a stack file is encrypted."""
    return isinstance(value, Mapping) and [*cast("Mapping[str, object]", value)] == [ENCRYPTED]


class Section(BaseModel):
    """A frozen group of parameters; YAML keys are camelCase and unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        # Build the whole schema once, on first use, instead of one for each section as well.
        defer_build=True,
    )

    removed: ClassVar[Mapping[str, str]] = {}
    """YAML keys of earlier versions, each with the reason for its removal."""


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_IMAGE = re.compile(
    r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_SEMANTIC_VERSION = re.compile(
    r"v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(
    rf"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_LABEL_NAME}"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_SERIES_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SERIES_VALUE = re.compile(r"[^\x00-\x1f\x7f\"\\]+")
_LABEL_VALUE = re.compile(rf"({_LABEL_NAME})?")


def _is_dns_label(value: str) -> bool:
    return len(value) <= 63 and _DNS_LABEL.fullmatch(value) is not None


def _dns_label(value: str) -> str:
    if not _is_dns_label(value):
        raise ValueError("must be at most 63 of a-z, 0-9 and '-', with no '-' at an end")
    return value


def _object_name(value: str) -> str:
    if len(value) > 253 or not all(_DNS_LABEL.fullmatch(part) for part in value.split(".")):
        raise ValueError(
            "must be at most 253 of a-z, 0-9, '-' and '.', with a-z or 0-9 around each '.'"
        )
    return value


def _host_name(value: str) -> str:
    labels = value.split(".")
    if len(value) > 253 or len(labels) < 2 or not all(map(_is_dns_label, labels)):
        raise ValueError(
            "must be a DNS name such as inference.example.com: at most 253 of a-z, 0-9, '-' and "
            "'.', with at most 63 between two dots"
        )
    return value


def _image(value: str) -> str:
    if not _IMAGE.fullmatch(value):
        raise ValueError("must be an image reference: repository[:tag][@sha256:digest]")
    return value


def _semantic_version(value: str) -> str:
    if not _SEMANTIC_VERSION.fullmatch(value):
        raise ValueError("must be a semantic version such as 2.20.2")
    return value


def _label_key(value: str) -> str:
    if len(value.rpartition("/")[0]) > 253 or not _LABEL_KEY.fullmatch(value):
        raise ValueError("must be a Kubernetes label's key such as example.com/team")
    return value


def _label_value(value: str) -> str:
    if not _LABEL_VALUE.fullmatch(value):
        raise ValueError(
            "must be at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends"
        )
    return value


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError("must be the name of an HTTP header, such as X-Scope-OrgID")
    return value


def _header_text(value: str) -> str:
    # KEDA separates headers by ',' and names from values by '='.
    if not re.fullmatch(r"[!-+\--<>-~]+", value):
        raise ValueError("must be the value of an HTTP header, without spaces, ',' and '='")
    return value


def _series_label(value: str) -> str:
    if not _SERIES_LABEL.fullmatch(value) or value.startswith("__"):
        raise ValueError("must be a label of Prometheus: letters, digits and '_', no digit first")
    return value


def _series_value(value: str) -> str:
    if not _SERIES_VALUE.fullmatch(value):
        raise ValueError("must be a label's value without control characters, '\"' and '\\'")
    return value


def _cidr(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError("must be an address range such as 10.0.0.0/16") from error


def _for_editors(pattern: re.Pattern[str]) -> Any:
    return Field(json_schema_extra={"pattern": f"^{pattern.pattern}$"})


DnsLabel = Annotated[str, AfterValidator(_dns_label), _for_editors(_DNS_LABEL)]
"""A Kubernetes object name of the strictest kind (RFC 1123 label)."""

ObjectName = Annotated[str, AfterValidator(_object_name)]
"""A Kubernetes object name of the usual kind (RFC 1123 subdomain)."""

HostName = Annotated[str, AfterValidator(_host_name)]
"""A DNS name of a host, in lower case and without a dot at its end."""

Image = Annotated[str, AfterValidator(_image), _for_editors(_IMAGE)]
"""An image reference; `image_pin` tells how it is pinned."""

SemanticVersion = Annotated[str, AfterValidator(_semantic_version), _for_editors(_SEMANTIC_VERSION)]
"""A version as of semver.org, as Helm requires of a chart; a leading `v` is allowed."""

LabelKey = Annotated[str, AfterValidator(_label_key), _for_editors(_LABEL_KEY)]
"""Key of a Kubernetes label or taint: a name, with an optional DNS domain and `/` before it."""

LabelValue = Annotated[str, AfterValidator(_label_value), _for_editors(_LABEL_VALUE)]
"""Value of a Kubernetes label or taint; may be empty."""

SeriesLabel = Annotated[str, AfterValidator(_series_label), _for_editors(_SERIES_LABEL)]
"""Name of a label of Prometheus's series (Prometheus, data model); `__` is for its own."""

SeriesValue = Annotated[str, AfterValidator(_series_value)]
"""Value of a label of Prometheus's series, which a PromQL string holds without escapes."""

HeaderName = Annotated[str, AfterValidator(_header_name), _for_editors(_HEADER_NAME)]
"""Name of an HTTP header."""

HeaderText = Annotated[str, AfterValidator(_header_text)]
"""Value of an HTTP header, as KEDA's trigger can state it."""

Cidr = Annotated[str, AfterValidator(_cidr)]
"""An IP address range, with no host bits set."""

Tier = Literal["dev", "staging", "prod"]
"""Purpose of a stack."""

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A number of things; Kubernetes and Envoy keep most of them in 32 bits."""

Calls = Annotated[int, Field(ge=1, le=1_000_000)]
"""Calls at once through one process; neither a gateway nor a replica holds a million."""

Cores = Annotated[float, Field(ge=0.001, le=1024)]
"""A CPU request; Kubernetes counts thousandths, and the largest machines have a few hundred."""

MemoryMib = Annotated[int, Field(ge=64, le=16 * 1024 * 1024)]
"""Memory of a container, MiB: from less than any of the servers needs to 16 TiB."""

DiskGib = Annotated[int, Field(ge=1, le=64 * 1024)]
"""A disk or a volume, GiB; the largest EBS volume has 64 TiB."""

Seconds = Annotated[float, Field(ge=0.001, le=24 * 3600)]
"""A time from 1 ms, the resolution of Envoy's timers, to a day; many keys have closer bounds."""

Share = Annotated[float, Field(ge=0.01, le=1)]


def image_tag(image: str) -> str:
    """Return the tag of an image reference; empty if it has none."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def image_pin(image: str) -> str:
    """Return the pin of an image reference: `digest`, `tag`, or `none` (no tag, or `latest`)."""
    if "@sha256:" in image:
        return "digest"
    return "none" if image_tag(image) in ("", "latest") else "tag"
