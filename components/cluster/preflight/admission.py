"""A server-side dry run of one pod of each kind: what would admission make of it?

Policy engines, sidecar injection, LimitRanges and Pod Security all have their say in a dry run, in
the namespace where the pod is to run. A namespace that is not there yet is tried itself, and its
pods in `default`, where other rules may hold: so a refusal there is a warning.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster.preflight.changes import Changes, changes
from components.cluster.preflight.look import Look
from components.cluster.preflight.pods import PodKind, kinds
from components.common.labels import namespace_labels
from config.inventory import made_namespaces
from config.problem import Problem, Severity
from config.settings import Settings

_STAND_IN = "default"
"""Namespace in which pods are tried whose own is not there yet."""

_OTHERS_RULES = ("violates PodSecurity", "exceeded quota")
"""Refusals that follow from the stand-in's own labels and quotas."""

_BLIND = "does not support dry run"
"""Words of the API server where a webhook has side effects and cannot be tried."""


def admission(settings: Settings, stack: str, look: Look) -> Iterable[Problem]:
    """Try the namespaces that are missing, and one pod of each kind."""
    labels = {ns: look.api.namespace_labels(ns) for ns in made_namespaces(settings).values()}
    yield from _namespaces(settings, stack, look, [ns for ns, found in labels.items() if not found])
    allowed: dict[str, bool] = {}
    for kind in kinds(settings):
        at = kind.namespace if labels.get(kind.namespace) is not None else _STAND_IN
        if at not in allowed:
            allowed[at] = look.api.may("create", "", "pods", at)
        if allowed[at]:
            yield from _pod(settings, kind, at, look)
        else:
            look.miss(f"what admission makes of pods (create pods in {at})")


def _namespaces(
    settings: Settings, stack: str, look: Look, missing: list[str]
) -> Iterator[Problem]:
    if not missing or not look.api.may("create", "", "namespaces"):
        return
    keys = {ns: key for key, ns in made_namespaces(settings).items()}
    for namespace in missing:
        tried = {"metadata": {"name": namespace, "labels": namespace_labels(stack)}}
        answer = look.api.send("POST", "/api/v1/namespaces?dryRun=All", tried)
        if _BLIND in answer.message:
            look.miss(f"what admission makes of namespaces ({answer.message})")
        # There since it was looked for, or not to be seen: other checks say so.
        elif not answer.ok and answer.status != 409:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={keys[namespace]: namespace},
                reason=f"the API server refuses the namespace {namespace}: {answer.message}",
                fix="have the rule changed, or have the namespace made by somebody who may",
            )


def _pod(settings: Settings, kind: PodKind, at: str, look: Look) -> Iterator[Problem]:
    own = at == kind.namespace
    where = at if own else f"{at} (tried there, because {kind.namespace} is not there yet)"
    sent = _manifest(kind, at, look)
    answer = look.api.send("POST", f"/api/v1/namespaces/{at}/pods?dryRun=All", sent)
    said = answer.message
    keys: dict[str, object] = {kind.key: kind.namespace}
    if answer.ok:
        yield from _changed(settings, kind, where, changes(sent["spec"], answer.body["spec"]))
    elif _BLIND in said:
        look.miss(f"what admission makes of {kind.who} pods ({said})")
    # What runs already fills a quota; whether all fit is another check's.
    elif "exceeded quota" not in said and (own or not any(w in said for w in _OTHERS_RULES)):
        yield Problem(
            check="preflight",
            severity="refuse" if own else "warn",
            keys=keys,
            reason=f"the API server refuses {kind.who} pods in {where}: {said}",
            fix="have the rule changed or the namespace excepted from it",
        )


def _manifest(kind: PodKind, at: str, look: Look) -> dict[str, Any]:
    template = kind.template
    spec = dict(template["spec"])
    account = f"/api/v1/namespaces/{at}/serviceaccounts/{spec['serviceAccountName']}"
    if not look.api.ask("GET", account):
        # The API server refuses a pod whose account is missing; the stack makes it before the pod.
        del spec["serviceAccountName"]
    metadata = {"generateName": "preflight-", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _changed(settings: Settings, kind: PodKind, where: str, found: Changes) -> Iterator[Problem]:
    weaker: Severity = "refuse" if settings.tier == "prod" else "warn"
    told: tuple[tuple[list[str], Severity, str], ...] = (
        (found.weakened, weaker, "they would have more rights than the stack gives them"),
        (found.other, "warn", "they are not what the capacity and drain checks count on"),
    )
    for what, severity, why in told:
        if what:
            yield Problem(
                check="preflight",
                severity=severity,
                keys={kind.key: kind.namespace},
                reason=f"the cluster changes {kind.who} pods in {where}: {'; '.join(what)}; {why}",
                fix="except the namespace from what changes pods (sidecar injection, a mutating "
                "policy, a LimitRange's defaults), or go on if that is meant",
            )
