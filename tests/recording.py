"""Runs a program under mocks as the language host would, and records what it declares.

What this does not prove: that a provider, an API server or AWS accepts what was declared.
"""

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.settings import configure
from pulumi.runtime.stack import run_in_stack

from config.base import PROJECT
from ops.render.placeholders import looked_up
from tests.declared import Declared, Resource

# As the language host does: a program that fails leaves futures that nobody looks at.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)

STACK_TYPE = "pulumi:pulumi:Stack"
STASH_TYPE = "pulumi:index:Stash"

COMPUTED: dict[str, dict[str, Any]] = {
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
    "aws:eks/nodeGroup:NodeGroup": {
        "nodeGroupName": "gpu-nodes-1a2b3c4",
        "resources": [{"autoscalingGroups": [{"name": "eks-gpu-asg"}]}],
    },
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": {"associationId": "a-1a2b3c4d"},
    "aws:iam/role:Role": {"arn": "arn:aws:iam::123456789012:role/mock"},
    "kubernetes:core/v1:Service": {
        "status": {"loadBalancer": {"ingress": [{"hostname": "nlb.example.com"}]}},
    },
}
"""Outputs that a provider would compute, by resource type; unknown in a preview."""


def _plain(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _read(struct: Any) -> tuple[dict[str, Any], frozenset[str]]:
    raw = rpc.deserialize_properties(struct, keep_unknowns=True)
    secrets = frozenset(key for key, value in raw.items() if rpc.is_rpc_secret(value))
    return {key: _plain(value) for key, value in raw.items()}, secrets


@dataclass
class _Lookups(mocks.Mocks):
    """Answers from what was given, and otherwise as an account in which nothing was made before."""

    declared: Declared
    given: Mapping[str, Mapping[str, Any]]

    def call(self, args: mocks.MockCallArgs) -> Any:
        groups = [group.inputs for group in self.declared.all("aws:eks/nodeGroup:NodeGroup")]
        answer = self.given.get(args.token) or looked_up(args.token, args.args, groups)
        assert answer is not None, f"nothing may be looked up: {args.token}"
        return dict(answer)

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:  # noqa: ARG002
        raise AssertionError("answered by the monitor")


class _Monitor(mocks.MockMonitor):
    """Answers as the engine does: URNs with every parent's type, computed outputs, references."""

    def __init__(
        self,
        declared: Declared,
        stack: str,
        preview: bool,
        stack_outputs: Mapping[str, Mapping[str, Any]],
        computed: Mapping[str, Mapping[str, Any]],
        lookups: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__(_Lookups(declared, lookups))
        self.declared = declared
        self.prefix = f"urn:pulumi:{stack}::{PROJECT}::"
        self.preview = preview
        self.stack_outputs = stack_outputs
        self.computed = {**COMPUTED, **computed}
        self.lock = threading.Lock()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        parent_type = parent.split("::")[2] if parent else STACK_TYPE
        qualified = type_ if parent_type == STACK_TYPE else f"{parent_type}${type_}"
        return f"{self.prefix}{qualified}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        mocks._ensure_event_loop()
        inputs, secrets = _read(request.object)
        resource = Resource(
            typ=request.type,
            name=request.name,
            urn=urn,
            inputs=inputs,
            secrets=secrets,
            custom=request.custom,
            parent="" if f"::{STACK_TYPE}::" in request.parent else request.parent,
            provider=_name(request.provider.rpartition("::")[0]),
            depends_on=frozenset(_name(urn) for urn in request.dependencies),
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            ignore_changes=tuple(request.ignoreChanges),
            delete_before_replace=request.deleteBeforeReplace,
        )
        with self.lock:
            assert all(r.urn != urn for r in self.declared.resources), f"declared twice: {urn}"
            self.declared.resources.append(resource)
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        if request.type == STASH_TYPE:
            request.object["output"] = request.object["input"]
        if self.preview:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)
        computed = self.computed.get(request.type, {})
        state = mocks._sync_await(rpc.serialize_properties(computed, {}))
        state.update(request.object)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=state)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer a StackReference from the given outputs; nothing else may be read."""
        assert request.type == "pulumi:pulumi:StackReference", f"looked up: {request.type}"
        urn = self.make_urn(request.parent, request.type, request.name)
        inputs, secrets = _read(request.properties)
        outputs = self.stack_outputs.get(request.id)
        if outputs is None:
            raise ValueError(f"unknown stack {request.id!r}")
        with self.lock:
            self.declared.resources.append(
                Resource(
                    typ=request.type,
                    name=request.name,
                    urn=urn,
                    inputs=inputs,
                    secrets=secrets,
                    custom=True,
                    parent="",
                    provider="",
                    depends_on=frozenset(),
                    protect=False,
                    retain_on_delete=False,
                    ignore_changes=(),
                    delete_before_replace=False,
                )
            )
        secret = sorted({"kubeconfig"} & set(outputs))
        state = {"name": request.id, "outputs": dict(outputs), "secretOutputNames": secret}
        properties = mocks._sync_await(rpc.serialize_properties(state, {}))
        return resource_pb2.ReadResourceResponse(urn=urn, properties=properties)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        outputs, secrets = _read(request.outputs)
        if f"::{STACK_TYPE}::" in request.urn:
            self.declared.exports, self.declared.secret_exports = outputs, secrets
        else:
            self.declared.outputs[_name(request.urn)] = outputs
        return empty_pb2.Empty()


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


class _Untransformed:
    """Stands in for the server of transforms: this engine calls none."""

    def register_stack_transform(self, transform: object) -> None:
        """Forget it."""

    async def shutdown(self) -> None:
        """Hold nothing."""


class _Engine:
    def __init__(self, declared: Declared) -> None:
        self.declared = declared

    def Log(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.severity != engine_pb2.DEBUG:
            severity = engine_pb2.LogSeverity.Name(request.severity).lower()
            self.declared.logs.append((severity, request.message))
        return empty_pb2.Empty()


def declare(
    program: Callable[[], Any],
    *,
    config: Mapping[str, Any] | None = None,
    stack: str = "test",
    preview: bool = False,
    stack_outputs: Mapping[str, Mapping[str, Any]] | None = None,
    computed: Mapping[str, Mapping[str, Any]] | None = None,
    lookups: Mapping[str, Mapping[str, Any]] | None = None,
) -> Declared:
    """Run a program under mocks to its end and hand back what it declared.

    Args:
        program: Declares resources and exports; what it raises is raised here.
        config: Stack configuration by key without namespace; structured values as plain data.
        stack: Name of the stack.
        preview: Whether computed outputs stay unknown, as in `pulumi preview`.
        stack_outputs: Outputs of other stacks, by the name in the StackReference; an output
            called `kubeconfig` is secret.
        computed: Outputs that a provider would compute, by type token, beside `COMPUTED`.
        lookups: Results of functions of providers, by token.
    """
    declared = Declared()

    def run() -> None:
        pulumi.runtime.set_all_config(
            {
                f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in (config or {}).items()
            },
            [],
        )
        configure(
            mocks.MockSettings(
                monitor=_Monitor(
                    declared, stack, preview, stack_outputs or {}, computed or {}, lookups or {}
                ),
                engine=_Engine(declared),
                project=PROJECT,
                stack=stack,
                dry_run=preview,
                organization="organization",
                outputs=set(),
                lock=threading.Lock(),
                feature_support={},
                package_refs={},
                callbacks=_Untransformed(),
            )
        )
        asyncio.run(run_in_stack(lambda: (program(), None)[1]))

    # A context of its own: Pulumi keeps its settings and the root stack in context variables. A
    # thread of its own: asyncio.run() leaves its thread without a loop that later mocks would use.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(contextvars.Context().run, run).result()
    declared.resources.sort(key=lambda r: r.urn)
    return declared
