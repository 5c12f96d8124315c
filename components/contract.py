"""The outputs for programs of other teams: names, types, units, and a typed reader.

This file imports Pulumi and nothing of the project, so that a program of another team can copy it:

    stack = pulumi.StackReference("organization/kubemind-inference/prod")
    endpoint = InferenceOutputs.read(stack).endpoint
"""

import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Self, cast

import pulumi
from pulumi import Output

CONTRACT_VERSION = "1.2"
"""Version of the contract. A new output raises the second number. A removed, renamed or retyped
output raises the first."""

TYPE_NAMES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    list[str]: "list of strings",
}
"""Name of each type of output, for documentation."""


class ContractError(pulumi.RunError):
    """A stack does not export the outputs of the contract."""


class Meaning(NamedTuple):
    """Meaning of an output, and its unit."""

    text: str
    unit: str = ""


class Documented(NamedTuple):
    """Documentation of one output."""

    name: str
    type: str
    unit: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class _Outputs:
    """Outputs as typed attributes. The exported key is the attribute's name in camelCase."""

    @classmethod
    def documented(cls) -> list[Documented]:
        """List names, types, units and meanings, in order."""
        return [
            Documented(_camel(name), TYPE_NAMES[wanted], meaning.unit, meaning.text)
            for name, wanted, meaning in cls._declared()
        ]

    @classmethod
    def _declared(cls) -> Iterator[tuple[str, Any, Meaning]]:
        for name, hint in typing.get_type_hints(cls, include_extras=True).items():
            output, meaning = typing.get_args(hint)
            (held,) = typing.get_args(output)
            yield name, held, meaning

    def export(self, prefix: str = "") -> None:
        """Export them from the running program's stack."""
        for name, _, _ in self._declared():
            pulumi.export(key(name, prefix), getattr(self, name))

    @classmethod
    def read(cls, stack: pulumi.StackReference, prefix: str = "") -> Self:
        """Read them from another stack, with whole numbers as `int` (Pulumi passes doubles).

        Args:
            stack: The stack that exports them.
            prefix: `namePrefix` of the inference stack, if it has one.

        Raises:
            ContractError: Once the outputs are known, if one is missing or of another type, or if
                the stack's contract has another major version.
        """
        version = stack.get_output(key("contract_version"))

        def one(name: str, wanted: Any) -> Output[Any]:
            exported = key(name, prefix)
            known = Output.all(stack.name, version, stack.get_output(exported))
            return known.apply(lambda values: _accept(exported, wanted, *values))

        return cls(**{name: one(name, wanted) for name, wanted, _ in cls._declared()})


@dataclass(frozen=True, kw_only=True)
class SharedOutputs(_Outputs):
    """Outputs that a stack exports once."""

    contract_version: Annotated[Output[str], Meaning("version of this list of outputs")]
    namespaces: Annotated[Output[list[str]], Meaning("namespaces of the inference stacks")]
    name_prefixes: Annotated[Output[list[str]], Meaning("`namePrefix` of each inference stack")]
    metrics_address: Annotated[Output[str], Meaning("Prometheus that holds the metrics", "URL")]


@dataclass(frozen=True, kw_only=True)
class InferenceOutputs(_Outputs):
    """Outputs of each inference stack, under keys that begin with its `namePrefix`."""

    endpoint: Annotated[
        Output[str], Meaning("gRPC address of the gateway, for the VPC", "host:port")
    ]
    cluster_endpoint: Annotated[
        Output[str],
        Meaning("gRPC address of the gateway, for pods of the cluster", "host:port"),
    ]
    tls: Annotated[
        Output[str],
        Meaning(
            "end of the callers' TLS: `gateway` (both addresses have TLS), `loadBalancer` "
            "(`endpoint` alone has it), or `none` (h2c)"
        ),
    ]
    server_name: Annotated[
        Output[str],
        Meaning("DNS name that callers verify in the certificate, whatever the address"),
    ]
    namespace: Annotated[Output[str], Meaning("namespace of Triton, gateway and scaler")]
    deployment_name: Annotated[Output[str], Meaning("Triton's Deployment")]
    scaler_name: Annotated[Output[str], Meaning("KEDA's ScaledObject")]
    load_query: Annotated[Output[str], Meaning("PromQL query of the scaler", "calls")]
    deadline_seconds: Annotated[Output[float], Meaning("longest time of a unary call", "s")]
    min_replicas: Annotated[Output[int], Meaning("fewest Triton replicas", "replicas")]
    max_replicas: Annotated[Output[int], Meaning("most Triton replicas", "replicas")]
    max_gpus: Annotated[Output[int], Meaning("GPUs (or time slices) at `maxReplicas`", "GPUs")]
    min_in_flight: Annotated[Output[int], Meaning("most calls in flight at `minReplicas`", "calls")]
    max_in_flight: Annotated[Output[int], Meaning("most calls in flight at `maxReplicas`", "calls")]
    min_calls_per_second: Annotated[
        Output[float], Meaning("unary calls answered at `minReplicas`", "calls/s")
    ]
    max_calls_per_second: Annotated[
        Output[float], Meaning("unary calls answered at `maxReplicas`", "calls/s")
    ]
    min_burst_answered: Annotated[
        Output[int],
        Meaning("calls of a burst of 50,000 answered in time at `minReplicas`", "calls"),
    ]
    max_burst_answered: Annotated[
        Output[int],
        Meaning("calls of a burst of 50,000 answered in time at `maxReplicas`", "calls"),
    ]


def key(name: str, prefix: str = "") -> str:
    """Return the exported key of an output: `endpoint`, or `visionEndpoint` for prefix `vision-`.

    Args:
        name: Name of the attribute, in snake_case.
        prefix: `namePrefix` of the inference stack.
    """
    return _camel(f"{prefix.replace('-', '_')}{name}")


def _camel(name: str) -> str:
    return re.sub(r"_+([a-z0-9])", lambda match: match[1].upper(), name.strip("_"))


def _accept(exported: str, wanted: Any, stack: str, version: Any, value: Any) -> Any:
    """Cast a value from another stack.

    Raises:
        ContractError: The value is missing or of another type, or the contract is another one.
    """
    if str(version).partition(".")[0] != CONTRACT_VERSION.partition(".")[0]:
        raise ContractError(
            f"stack {stack} exports contract version {version or 'none'}; "
            f"this program reads {CONTRACT_VERSION}: update one of them"
        )
    if value is None:
        raise ContractError(f"stack {stack} does not export {exported}: run `pulumi up` there")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted in (int, float) and number and value == wanted(value):
        return wanted(value)
    if wanted is str and isinstance(value, str):
        return value
    if wanted == list[str] and isinstance(value, list):
        return cast("list[Any]", value)
    raise ContractError(
        f"stack {stack} exports {exported} = {value!r}, which is not of type {TYPE_NAMES[wanted]}"
    )


def markdown() -> str:
    """Build the table of all outputs, in Markdown."""
    lines = ["| output | type | unit | meaning |", "|---|---|---|---|"]
    for outputs in (SharedOutputs, InferenceOutputs):
        lines += [
            f"| `{item.name}` | {item.type} | {item.unit} | {item.meaning} |"
            for item in outputs.documented()
        ]
    return "\n".join(lines)
