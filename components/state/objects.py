"""Objects of any kind that the API server's discovery describes."""

import functools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.common.kubernetes_api import KubernetesApi
from components.state.marks import ObjectName

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of objects, as the API server serves it."""

    api_version: str
    """API group and version, such as `apps/v1`; `v1` for the core group."""

    kind: str
    """Kind, such as `Deployment`."""

    plural: str
    """Its name in paths, such as `deployments`."""

    namespaced: bool
    """True if its objects are namespaced."""

    verbs: frozenset[str]
    """Verbs that the API server supports for it."""

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of an object; without a name, the path of all objects."""
        root = "apis" if "/" in self.api_version else "api"
        inside = f"namespaces/{namespace}/" if self.namespaced else ""
        return f"/{root}/{self.api_version}/{inside}{self.plural}" + (f"/{name}" if name else "")


class UnseenError(Exception):
    """The user of the kubeconfig cannot list some objects."""


class Kinds:
    """The kinds that a cluster serves; each group is read once."""

    def __init__(self, api: KubernetesApi) -> None:
        self.api = api
        self._of = functools.cache(self._ask_group)

    def get(self, name: ObjectName) -> dict[str, Any]:
        """Return an object; empty if it does not exist, or the user cannot read it."""
        path = self.path(name)
        return self.api.ask("GET", path) if path else {}

    def path(self, name: ObjectName) -> str:
        """Return the path of an object; empty if the cluster does not serve its kind."""
        kind = next((k for k in self._of(name.api_version) if k.kind == name.kind), None)
        return kind.path(name.namespace, name.name) if kind else ""

    def delete(self, name: ObjectName) -> None:
        """Delete an object, if it exists and the user has permission."""
        if path := self.path(name):
            self.api.ask("DELETE", path)

    def is_namespaced(self, reference: Mapping[str, str]) -> bool:
        """Return True if an owner reference names a namespaced object."""
        kinds = self._of(reference["apiVersion"])
        return any(kind.namespaced for kind in kinds if kind.kind == reference["kind"])

    def contents(
        self, namespace: str, selector: str = ""
    ) -> list[tuple[ObjectName, dict[str, Any]]]:
        """Return all objects in a namespace, or those that a label selector selects.

        Raises:
            UnseenError: The user cannot list some kinds; the message names them.
        """
        kinds = list(self._listed())
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(partial(self._list, namespace, selector), kinds))
        unseen: list[str] = []
        found: list[tuple[ObjectName, dict[str, Any]]] = []
        for kind, items in zip(kinds, answers, strict=True):
            if items is None:
                unseen.append(kind.plural)
            found += [
                (ObjectName.of(kind.api_version, kind.kind, item["metadata"]), item)
                for item in items or ()
            ]
        if unseen:
            raise UnseenError(", ".join(unseen))
        return found

    def _list(self, namespace: str, selector: str, kind: Kind) -> list[dict[str, Any]] | None:
        query = f"?labelSelector={selector}" if selector else ""
        return self.api.items(kind.path(namespace) + query)

    def _listed(self) -> Iterator[Kind]:
        """Yield the kinds whose objects users can create in a namespace, each in one version."""
        groups = self.api.ask("GET", "/apis").get("groups", [])
        versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
        for version in versions:
            for kind in self._of(version):
                if kind.namespaced and {"list", "create"} <= kind.verbs:
                    yield kind

    def _ask_group(self, api_version: str) -> tuple[Kind, ...]:
        root = "apis" if "/" in api_version else "api"
        answer = self.api.ask("GET", f"/{root}/{api_version}")
        return tuple(
            Kind(
                api_version=api_version,
                kind=resource["kind"],
                plural=resource["name"],
                namespaced=resource["namespaced"],
                verbs=frozenset(resource.get("verbs", ())),
            )
            for resource in answer.get("resources", [])
            if "/" not in resource["name"]
        )
