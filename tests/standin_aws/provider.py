"""The stand-in as a gRPC server of Pulumi's provider protocol, over a world in a file."""

# ruff: noqa: N802, ARG002 - gRPC's names, and its two arguments everywhere
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from tests.standin_aws.eks import Refused
from tests.standin_aws.kinds import KINDS, Kind, invoke
from tests.standin_aws.world import Properties, World

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Text by which the engine marks a value that is not known yet (resource.UnknownStringValue)."""


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine as pulumi-aws does for the types of `KINDS`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def Handshake(self, request, context):
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="7.51.1")

    def CheckConfig(self, request, context):
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request, context):
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request, context):
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Cancel(self, request, context):
        return empty_pb2.Empty()

    def Invoke(self, request, context):
        try:
            answer = invoke(self._world.read(), request.tok, _plain(request.args))
        except KeyError as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"not in the stand-in: {error}")
        except Refused as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))
        return provider_pb2.InvokeResponse(**{"return": _struct(answer)})

    def Check(self, request, context):
        kind = _kind(request.urn, context)
        inputs, olds = _plain(request.news), _plain(request.olds)
        key = kind.named_by
        if key and not inputs.get(key):
            # As the bridge does: the name that it has, or the logical name and seven hex digits.
            name = request.urn.rpartition("::")[2]
            inputs[key] = olds.get(key) or f"{name}-{request.randomSeed.hex()[:7]}"
        return provider_pb2.CheckResponse(inputs=_struct(inputs))

    def Diff(self, request, context):
        kind = _kind(request.urn, context)
        news = _plain(request.news)
        stated = _plain(request.old_inputs).keys() - kind.kept
        removed = dict.fromkeys(stated - news.keys())
        detailed = {}
        for path in _differences(_plain(request.olds), {**removed, **news}):
            replaces = path in kind.force_new or path.partition(".")[0] in kind.force_new
            detail = provider_pb2.PropertyDiff
            detailed[path] = detail(
                kind=detail.UPDATE_REPLACE if replaces else detail.UPDATE, inputDiff=False
            )
        replaces = [
            p for p, d in detailed.items() if d.kind == provider_pb2.PropertyDiff.UPDATE_REPLACE
        ]
        changes = provider_pb2.DiffResponse
        return changes(
            changes=changes.DIFF_SOME if detailed else changes.DIFF_NONE,
            diffs=sorted({path.partition(".")[0] for path in detailed}),
            replaces=replaces,
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    def Create(self, request, context):
        typ = _type(request.urn)
        kind = _kind(request.urn, context)
        inputs = _plain(request.properties)
        if request.preview:
            unknown = dict.fromkeys(kind.computed(self._world.read(), _stub(inputs)), UNKNOWN)
            return provider_pb2.CreateResponse(properties=_struct({**unknown, **inputs}))
        with self._world.change() as world:
            _accept(kind, world, inputs, context)
            state = {**inputs, **kind.computed(world, inputs)}
            world["resources"].setdefault(typ, {})[state["id"]] = state
            world["calls"].append(["create", typ, state["id"]])
        return provider_pb2.CreateResponse(id=state["id"], properties=_struct(state))

    def Read(self, request, context):
        _kind(request.urn, context)
        state = self._world.of(_type(request.urn)).get(request.id)
        if state is None:
            return provider_pb2.ReadResponse()
        inputs = {key: state.get(key) for key in _plain(request.inputs)}
        return provider_pb2.ReadResponse(
            id=request.id, properties=_struct(state), inputs=_struct(inputs)
        )

    def Update(self, request, context):
        typ = _type(request.urn)
        kind = _kind(request.urn, context)
        old, new = _plain(request.olds), _plain(request.news)
        if request.preview:
            unknown = dict.fromkeys(kind.recomputed, UNKNOWN)
            return provider_pb2.UpdateResponse(properties=_struct({**old, **new, **unknown}))
        if not list(_differences(old, new)):
            # The bridge plans again, and calls nothing where the state says that all is as wanted.
            return provider_pb2.UpdateResponse(properties=request.olds)
        world = self._world.read()
        try:
            state = kind.update(world, old, new)
        except Refused as refused:
            _half_done(context, request.id, {**old, **new}, request.news, str(refused))
        world["resources"][typ][request.id] = state
        world["calls"].append(["update", typ, request.id])
        with self._world.change() as content:
            content.update(world)
        return provider_pb2.UpdateResponse(properties=_struct(state))

    def Delete(self, request, context):
        typ = _type(request.urn)
        with self._world.change() as world:
            world["resources"].get(typ, {}).pop(request.id, None)
            world["calls"].append(["delete", typ, request.id])
        return empty_pb2.Empty()


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _kind(urn: str, context: grpc.ServicerContext) -> Kind:
    kind = KINDS.get(_type(urn))
    if kind is None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"not in the stand-in: {_type(urn)}")
    return kind


def _accept(kind: Kind, world: Properties, inputs: Properties, context: Any) -> None:
    try:
        kind.check(world, inputs)
    except Refused as refused:
        context.abort(grpc.StatusCode.UNKNOWN, str(refused))


def _half_done(
    context: Any, identifier: str, state: Properties, inputs: struct_pb2.Struct, reason: str
) -> NoReturn:
    """Fail an update as the bridge does: the state has what was sent, although it was refused."""
    failed = provider_pb2.ErrorResourceInitFailed(
        id=identifier, properties=_struct(state), reasons=[reason], inputs=inputs
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
    status.details.add().Pack(failed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, reason)
    raise AssertionError("abort raises")


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Paths at which what is wanted differs from the state; what the state has beside it is not."""
    if isinstance(new, dict):
        for key, value in new.items():
            below = f"{path}.{key}" if path else key
            yield from _differences(old.get(key) if isinstance(old, dict) else None, value, below)
    elif new != old:
        yield path


def _stub(inputs: Properties) -> Properties:
    """Inputs of a preview, of which some are unknown and others missing."""
    return {"tag": {"key": UNKNOWN}, **inputs}


def _plain(struct: struct_pb2.Struct) -> Properties:
    return _whole(json_format.MessageToDict(struct))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _struct(properties: Properties) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct
