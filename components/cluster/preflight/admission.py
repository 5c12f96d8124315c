"""Dry runs of one pod of each kind, which show how admission would change or refuse it.

Policy engines, sidecar injection, LimitRanges and Pod Security all take part in a server-side dry
run, in the namespace where the pod is to run. For a missing namespace, preflight tries the
namespace itself, and its pods in `default`. Other rules may hold there, so a refusal is a warning.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster.preflight.changes import Changes, changes
from components.cluster.preflight.pods import PodKind, kinds
from components.cluster.preflight.reader import ClusterReader
from components.common.labels import namespace_labels
from config.inventory import made_namespaces
from config.problem import Problem, Severity
from config.settings import Settings

_STAND_IN = "default"
"""Namespace for the trial of pods whose own namespace does not exist yet."""

_OTHERS_RULES = ("violates PodSecurity", "exceeded quota")
"""Refusals that follow from the stand-in's own labels and quotas."""

_BLIND = "does not support dry run"
"""Part of the API server's message if a webhook has side effects, which excludes a dry run."""


def admission(settings: Settings, stack: str, reader: ClusterReader) -> Iterable[Problem]:
    """Try the namespaces that are missing, and one pod of each kind."""
    labels = {ns: reader.api.namespace_labels(ns) for ns in made_namespaces(settings).values()}
    yield from _namespaces(
        settings, stack, reader, [ns for ns, found in labels.items() if not found]
    )
    allowed: dict[str, bool] = {}
    for kind in kinds(settings):
        at = kind.namespace if labels.get(kind.namespace) is not None else _STAND_IN
        if at not in allowed:
            allowed[at] = reader.api.may("create", "", "pods", at)
        if allowed[at]:
            yield from _pod(settings, kind, at, reader)
        else:
            reader.note(f"the effect of admission on pods (create pods in {at})")


def _namespaces(
    settings: Settings, stack: str, reader: ClusterReader, missing: list[str]
) -> Iterator[Problem]:
    if not missing or not reader.api.may("create", "", "namespaces"):
        return
    keys = {ns: key for key, ns in made_namespaces(settings).items()}
    for namespace in missing:
        tried = {"metadata": {"name": namespace, "labels": namespace_labels(stack)}}
        answer = reader.api.send("POST", "/api/v1/namespaces?dryRun=All", tried)
        if _BLIND in answer.message:
            reader.note(f"the effect of admission on namespaces ({answer.message})")
        # 409: it exists by now, or the user cannot read it; other checks report both.
        elif not answer.ok and answer.status != 409:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={keys[namespace]: namespace},
                reason=f"the API server refuses the namespace {namespace}: {answer.message}",
                fix="have the rule changed, or have a user with permission create the namespace",
            )


def _pod(settings: Settings, kind: PodKind, at: str, reader: ClusterReader) -> Iterator[Problem]:
    own = at == kind.namespace
    where = at if own else f"{at} (tried there, because {kind.namespace} does not exist yet)"
    sent = _manifest(kind, at, reader)
    answer = reader.api.send("POST", f"/api/v1/namespaces/{at}/pods?dryRun=All", sent)
    message = answer.message
    keys: dict[str, object] = {kind.key: kind.namespace}
    if answer.ok:
        yield from _changed(settings, kind, where, changes(sent["spec"], answer.body["spec"]))
    elif _BLIND in message:
        reader.note(f"the effect of admission on {kind.who} pods ({message})")
    # Running pods already use a quota; another check compares it with the whole fleet.
    elif "exceeded quota" not in message and (own or not any(w in message for w in _OTHERS_RULES)):
        yield Problem(
            check="preflight",
            severity="refuse" if own else "warn",
            keys=keys,
            reason=f"the API server refuses {kind.who} pods in {where}: {message}",
            fix="have the rule changed, or the namespace exempted from it",
        )


def _manifest(kind: PodKind, at: str, reader: ClusterReader) -> dict[str, Any]:
    template = kind.template
    spec = dict(template["spec"])
    created = {"serviceAccountName": f"/api/v1/namespaces/{at}/serviceaccounts"}
    if kind.makes_priority_class:
        created["priorityClassName"] = "/apis/scheduling.k8s.io/v1/priorityclasses"
    for key, path in created.items():
        # The API server refuses a pod without its account, which the stack creates before it.
        if key in spec and not reader.api.ask("GET", f"{path}/{spec[key]}"):
            del spec[key]
    metadata = {"generateName": "preflight-", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _changed(settings: Settings, kind: PodKind, where: str, found: Changes) -> Iterator[Problem]:
    weaker: Severity = "refuse" if settings.tier == "prod" else "warn"
    kinds_of_change: tuple[tuple[list[str], Severity, str], ...] = (
        (found.weakened, weaker, "they would have more privileges than the stack gives them"),
        (found.other, "warn", "the capacity and drain checks assume the stated pods"),
    )
    for what, severity, why in kinds_of_change:
        if what:
            yield Problem(
                check="preflight",
                severity=severity,
                keys={kind.key: kind.namespace},
                reason=f"the cluster changes {kind.who} pods in {where}: {'; '.join(what)}; {why}",
                fix="exempt the namespace from the cause (sidecar injection, a mutating policy, a "
                "LimitRange's defaults), or continue if the change is intended",
            )
