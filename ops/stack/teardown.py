"""Removal of a stack: all that it owns, and nothing of others."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.preflight.ownership import found, is_abandoned, owns
from components.common.kubernetes_api import (
    ApiRefusedError,
    ApiUnreachableError,
    KubeconfigRefusedError,
)
from components.common.labels import IDENTITY_LABEL, STACK_LABEL, namespace_labels
from components.state.leftovers import leftovers, of_others
from components.state.marks import ObjectName
from components.state.objects import Kinds, UnseenError
from components.state.ownership import UNMARKED, Claim, held_objects, identity_in
from config.inventory import made_namespaces
from config.sections.platform import ReferencePlatform
from config.settings import Settings
from local_cluster.objects import wait_for
from ops.errors import OpsError
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment

Say = Callable[[str], None]
_NAMED = 8
"""Most objects of others that a message names; it counts the rest."""


class Teardown:
    """One stack on its cluster, by its state and by the objects there.

    Raises:
        OpsError: From every method: the cluster does not answer, and nothing was changed.
    """

    def __init__(self, env: StackEnvironment, settings: Settings, state: Mapping[str, Any]) -> None:
        self._env = env
        self._settings = settings
        self._state = state
        self._resources: list[dict[str, Any]] = state.get("resources") or []
        self.claim = Claim(
            identity=identity_in(self._resources),
            stack=env.stack,
            held=frozenset(held_objects(self._resources)),
        )
        self._api = ClusterApi(cluster_target(env, settings))
        self._kinds = Kinds(self._api)

    def prepare(self, say: Say) -> None:
        """Make Pulumi forget, not delete, namespaces and the objects of others; scalers go first.

        With the state of an earlier release Pulumi would delete namespaces with their contents.
        """
        changed = delete_scalers_first(self._resources)
        for resource in self._resources:
            for name in held_objects([resource]):
                answer = self._kinds.get(name)
                others = "metadata" in answer and not owns(self.claim, found(name, answer))
                if others:
                    say(f"{name} stays: another stack owns it")
                if (others or name.kind == "Namespace") and not resource.get("retainOnDelete"):
                    resource["retainOnDelete"] = True
                    changed = True
        if changed:
            _import(self._env, self._state)

    def remove_namespaces(self, say: Say, *, but: Iterable[str] = ()) -> bool:
        """Delete the stack's namespaces that hold no objects of others.

        Args:
            say: Called with each namespace that stays, and the reason.
            but: Namespaces that the stack still needs.

        Returns:
            True if each is deleted, or stays because of objects of others.
        """
        going: list[str] = []
        done = True
        for name in sorted(self._own_namespaces() - {*but}):
            if why := self._why_it_stays(name):
                say(
                    f"namespace {name} stays: {why}. When they are deleted, run: "
                    f"kubectl delete namespace {name}"
                )
                continue
            answer = self._api.send("DELETE", f"/api/v1/namespaces/{name}")
            if answer.ok or answer.status in (404, 409):
                going.append(name)
            else:
                say(f"namespace {name} cannot be deleted: {answer.message}")
                done = False
        for name in going:
            path = f"/api/v1/namespaces/{name}"
            wait_for(lambda path=path: not self._api.ask("GET", path), f"the end of {name}", say)
        return done

    def identities_of_the_same_name(self) -> set[str]:
        """Return the identity labels of the namespaces that a stack of this name made."""
        wanted = namespace_labels(self._env.stack)[STACK_LABEL]
        seen = [
            self._api.namespace_labels(name) or {}
            for name in made_namespaces(self._settings).values()
        ]
        return {
            labels.get(IDENTITY_LABEL, UNMARKED)
            for labels in seen
            if labels.get(STACK_LABEL) == wanted
        }

    def close(self) -> None:
        """Close the connection to the cluster."""
        self._api.close()

    def _own_namespaces(self) -> set[str]:
        named = {*made_namespaces(self._settings).values()}
        named |= {name.name for name in self.claim.held if name.kind == "Namespace"}
        if self.claim.identity:
            selector = f"labelSelector={IDENTITY_LABEL}={self.claim.identity}"
            marked = self._api.items(f"/api/v1/namespaces?{selector}") or ()
            named |= {item["metadata"]["name"] for item in marked}
        return {name for name in named if self._owns_namespace(name)}

    def _owns_namespace(self, namespace: str) -> bool:
        name = ObjectName.of("v1", "Namespace", {"name": namespace})
        answer = self._kinds.get(name)
        if "metadata" not in answer:
            return False
        one = found(name, answer)
        # Leftovers of an interrupted or bare `pulumi destroy` are the stack's own too.
        return owns(self.claim, one) or bool(
            one.identity and is_abandoned(self._kinds, self.claim, one.identity, [one])
        )

    def _why_it_stays(self, namespace: str) -> str:
        """Delete the stack's leftovers in a namespace; return a message about objects of others."""
        try:
            contents = self._kinds.contents(namespace)
        except UnseenError as error:
            return f"you lack the permission to list all objects in it ({error})"
        others = [str(name) for name in of_others(self._kinds, contents)]
        if not others:
            return ""
        for name in leftovers(contents):
            self._kinds.delete(name)
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        return f"it holds objects that this stack did not make: {', '.join(others[:_NAMED])}{more}"


def delete_scalers_first(resources: list[dict[str, Any]]) -> bool:
    """Let the engine delete ScaledObjects before all Deployments; return True for a change.

    The program cannot state this order: an `up` would then skip the scaler of a Deployment that
    the API server refuses.

    Args:
        resources: The state's, dependencies before their dependents; changed in place.
    """
    deployments = {one["urn"] for one in resources if one["type"].endswith(":Deployment")}
    scalers = [one for one in resources if one["type"].endswith(":ScaledObject")]
    changed = False
    for scaler in scalers:
        if missing := deployments - {*scaler.get("dependencies", ())}:
            scaler["dependencies"] = [*scaler.get("dependencies", ()), *sorted(missing)]
            # Nothing depends on a scaler.
            resources.remove(scaler)
            resources.append(scaler)
            changed = True
    return changed


@contextlib.contextmanager
def open_on(
    env: StackEnvironment, settings: Settings, state: Mapping[str, Any]
) -> Generator[Teardown]:
    """Yield a teardown, and close it afterwards; turn its errors into one message."""
    try:
        teardown = Teardown(env, settings, state)
        try:
            yield teardown
        finally:
            teardown.close()
    except kubeconfig.KubeconfigError as error:
        raise OpsError(str(error)) from None
    except (ApiRefusedError, ApiUnreachableError, KubeconfigRefusedError) as error:
        raise OpsError(
            f"the cluster of {env.stack} does not answer, so the objects of others in it are "
            f"unknown: {error}. If the cluster no longer exists: "
            f"PULUMI_K8S_DELETE_UNREACHABLE=true pulumi destroy --stack {env.stack}"
        ) from None


def adoptable(env: StackEnvironment, settings: Settings, *, required: bool) -> str:
    """Return the identities of a lost stack of the same name, as `ADOPT_VARIABLE` takes them.

    Raises:
        OpsError: The cluster does not answer; or it holds none, and one is required.
    """
    with open_on(env, settings, {}) as teardown:
        identities = teardown.identities_of_the_same_name()
    if required and not identities:
        raise OpsError(
            f"no namespace of {env.stack}'s parameters carries the label "
            f"{STACK_LABEL}={env.stack}, so there is nothing to adopt"
        )
    return ",".join(sorted(identities))


def cluster_target(env: StackEnvironment, settings: Settings) -> kubeconfig.KubeconfigContext:
    """Read the kubeconfig of the stack's cluster.

    Raises:
        KubeconfigError: It cannot be read.
    """
    # This process looks for kubectl there too.
    os.environ["PATH"] = env.variables()["PATH"]
    platform, contents = settings.platform, None
    # By kind: the output of another stack is read by the Pulumi CLI here.
    if isinstance(platform, ReferencePlatform):
        contents = pulumi.capture(
            env, "stack", "output", "kubeconfig", "--show-secrets", "--stack", platform.stack
        )
    return kubeconfig.read(platform, contents)


def _import(env: StackEnvironment, state: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps({"version": 3, "deployment": state}))
        pulumi.capture(env, "stack", "import", "--stack", env.stack, "--file", str(file))
