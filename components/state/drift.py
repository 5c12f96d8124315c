"""Objects of the stack that another manager changed: reported before `up` overwrites them."""

import asyncio
import functools
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import pulumi

from components.common.kubernetes_api import APPLY_PATCH, ApiUnreachableError, KubernetesApi
from components.common.labels import PART_OF
from components.state.drift_report import Change, changes, engine_manager, last_foreign
from components.state.marks import ObjectName
from components.state.objects import Kinds

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_AT_ONCE = 8
_CONTENTS = ("data", "binaryData")
_DRY_RUN = f"fieldManager={PART_OF}-dry-run&force=true&dryRun=All"


@dataclass(frozen=True)
class Found:
    """One object in the cluster, compared with its manifest."""

    name: ObjectName
    """Name of the object."""

    live: Mapping[str, Any]
    """Live object; empty if it does not exist, or the user cannot read it."""

    changes: tuple[Change, ...] = ()
    """Stated fields with another value; none if the user cannot patch the object."""

    replaced: bool = False
    """True for an immutable ConfigMap that another user recreated with other contents."""

    def describe(self) -> list[str]:
        """Return a phrase for each change that is not the engine's own."""
        if self.replaced:
            by = last_foreign(self.live) or "an unknown manager"
            return [f"contents that do not match its name, set by {by}"]
        return [describe(change) for change in self.changes if change.is_foreign]


def examine(kinds: Kinds, manifest: Mapping[str, Any]) -> Found:
    """Compare an object with its manifest, without a change to the cluster.

    The API server itself applies the manifest in a dry run, so that defaults, normal forms and
    admission webhooks are the same on both sides. Pulumi's own comparison ignores items at the end
    of a list that were added, such as a rule of a NetworkPolicy.

    Raises:
        ApiUnreachableError: The API server does not answer.
    """
    name = ObjectName.of(manifest["apiVersion"], manifest["kind"], manifest["metadata"])
    live = kinds.get(name)
    if not live:
        return Found(name, {})
    if live.get("immutable") and any(live.get(key) != manifest.get(key) for key in _CONTENTS):
        return Found(name, live, replaced=True)
    answer = kinds.api.send("PATCH", f"{kinds.path(name)}?{_DRY_RUN}", manifest, APPLY_PATCH)
    return Found(name, live, tuple(changes(live, answer.body)) if answer.ok else ())


def describe(change: Change) -> str:
    """Name a field and its managers."""
    return f"{change.path}, set by {' and '.join(change.managers) or 'nobody any more'}"


class DriftWatch:
    """Compares every object that the program declares with the cluster, in preview and in `up`.

    It warns of each field that `up` restores, with the field manager that had set it. In `up` it
    also restores fields whose change the engine does not see.
    """

    def __init__(self) -> None:
        """Watch all later declarations of a program that an engine runs."""
        self.api: pulumi.Output[KubernetesApi | None] = pulumi.Output.from_input(None)
        """Client of the API server; set it before the program declares objects."""
        self._kinds: Kinds | None = None
        # Its own pool: the SDK fills the default one with registrations that wait for this.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drift")
        self._resources: dict[tuple[str, str], pulumi.Resource] = {}
        pulumi.runtime.register_stack_transformation(self._remember)
        pulumi.runtime.register_resource_transform(self._compare)

    def _remember(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._resources[args.type_, args.name] = args.resource

    async def _in_thread(
        self,
        call: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        work = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _compare(self, args: pulumi.ResourceTransformArgs) -> None:
        if not args.type_.startswith("kubernetes:") or "metadata" not in args.props:
            return
        api = await self.api.future()
        manifest = await pulumi.Output.from_input(dict(args.props)).future()
        if api is None or manifest is None:
            # In a preview: the cluster, or a part of the object, does not exist yet.
            return
        self._kinds = self._kinds or Kinds(api)
        wanted = plain(manifest)
        try:
            found = await self._in_thread(examine, self._kinds, wanted)
        except ApiUnreachableError:
            # The engine reports it.
            return
        resource = self._resources.get((args.type_, args.name))
        phrases = found.describe()
        for phrase in phrases:
            pulumi.log.warn(f"overwrites {phrase}: {found.name}", resource)
        if not phrases or pulumi.runtime.is_dry_run():
            return
        kinds = self._kinds
        if found.replaced:
            # It is immutable, and the engine, which retains it for ReplicaSets, does not delete it.
            await self._in_thread(remove, kinds, found)
        elif isinstance(resource, pulumi.CustomResource):
            resource.id.apply(lambda _: restore(kinds, wanted))


def remove(kinds: Kinds, found: Found) -> None:
    """Delete an object, unless it has changed since it was read."""
    metadata = found.live["metadata"]
    seen = {key: metadata[key] for key in ("uid", "resourceVersion")}
    kinds.api.send("DELETE", kinds.path(found.name), {"preconditions": seen})


def restore(kinds: Kinds, manifest: Mapping[str, Any]) -> None:
    """Apply a manifest as the engine does, if the object still differs after the engine's update.

    Raises:
        pulumi.RunError: The API server refuses it.
    """
    found = examine(kinds, manifest)
    manager = engine_manager(found.live) if found.live else None
    if not manager or not any(change.is_foreign for change in found.changes):
        return
    path = f"{kinds.path(found.name)}?fieldManager={manager}&force=true"
    answer = kinds.api.send("PATCH", path, manifest, APPLY_PATCH)
    if not answer.ok:
        raise pulumi.RunError(f"{found.name} cannot be restored: {answer.message}")


def plain(manifest: object) -> dict[str, Any]:
    """Return a manifest for the API server, with the whole numbers that the engine made doubles."""
    return cast("dict[str, Any]", _whole(json.loads(json.dumps(manifest))))


def _whole(value: object) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {key: _whole(item) for key, item in items if item is not None}
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value
