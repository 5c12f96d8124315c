"""Pods as they were sent against pods as an API server answers; no API server answers here."""

from copy import deepcopy
from decimal import Decimal

import pytest

from components.cluster.preflight.changes import changes
from components.cluster.preflight.pods import kinds
from components.cluster.preflight.quantities import amount
from config.settings import Settings

GATEWAY = next(kind for kind in kinds(Settings()) if kind.who == "the gateway's")


@pytest.fixture
def sent():
    return GATEWAY.template["spec"]


@pytest.fixture
def got(sent):
    """With what an API server adds to every pod."""
    pod = deepcopy(sent)
    container = pod["containers"][0]
    container |= {"terminationMessagePath": "/dev/termination-log"}
    container["readinessProbe"]["successThreshold"] = 1
    container["resources"]["requests"]["cpu"] = "1"
    container["resources"]["limits"]["memory"] = "512Mi"
    container["volumeMounts"].append({"name": "token", "mountPath": "/var/run/secrets"})
    pod["volumes"].append({"name": "token", "projected": {"sources": []}})
    pod |= {"schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"}
    pod["tolerations"] = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]
    return pod


def test_defaults_are_no_change(sent, got):
    found = changes(sent, got)
    assert (found.weakened, found.other) == ([], [])


def test_access_to_the_node_that_is_stated_is_no_change(sent):
    stated = {**sent, "hostPID": True}
    assert changes(stated, deepcopy(stated)).weakened == []


def privileged(pod):
    pod["containers"][0]["securityContext"]["privileged"] = True
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


@pytest.mark.parametrize(
    ("change", "weakened"),
    [
        (privileged, "envoy.securityContext.allowPrivilegeEscalation is True, not False"),
        (lambda pod: pod.pop("securityContext"), "securityContext.runAsNonRoot is gone, not True"),
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork is true"),
        (lambda pod: pod.update(automountServiceAccountToken=True), "automountServiceAccountToken"),
    ],
)
def test_weakened_security_is_separate_from_other_changes(sent, got, change, weakened):
    change(got)
    found = changes(sent, got)
    assert any(weakened in text for text in found.weakened), found
    assert found.other == []


@pytest.mark.parametrize(
    ("change", "other"),
    [
        (lambda pod: pod["containers"][0].update(image="other:1"), "envoy.image is other:1, not "),
        (
            lambda pod: pod.update(initContainers=[{"name": "init", "image": "i:1"}]),
            "it adds initContainers init (i:1)",
        ),
        (lambda pod: pod.update(nodeSelector={"a": "b"}), "nodeSelector is {'a': 'b'}"),
        (lambda pod: pod.update(runtimeClassName="kata"), "runtimeClassName is kata"),
        (lambda pod: pod.update(terminationGracePeriodSeconds=1), "terminationGracePeriodSeconds"),
        (
            lambda pod: pod["containers"][0]["resources"]["limits"].update(cpu="1"),
            "envoy.resources.limits.cpu is 1, not unset",
        ),
        (lambda pod: pod["containers"][0].pop("lifecycle"), "envoy.lifecycle.preStop.exec"),
        (lambda pod: pod["containers"][0]["command"].pop(), "is gone or differs ("),
        (lambda pod: pod["containers"].clear(), "it removes the container envoy"),
    ],
)
def test_every_other_changed_field_is_named(sent, got, change, other):
    change(got)
    found = changes(sent, got)
    assert any(other in text for text in found.other), found
    assert found.weakened == []


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("500m", "0.5"), ("8Gi", "8589934592"), ("1e3", "1000"), ("2k", "2000"), ("3", "3")],
)
def test_quantities_are_read_as_the_api_reference_has_them(quantity, number):
    assert amount(quantity) == Decimal(number)


@pytest.mark.parametrize("text", ["", "8GiB", "fast", "1Kib"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        amount(text)
