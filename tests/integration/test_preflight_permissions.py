"""Preflight on a real API server: missing permissions, and a user who has enough.

The nodes are simulated, so that no volume is bound and no load balancer made; which permissions
Helm needs for a chart is not shown.
"""

import pytest
import yaml
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role

from components.cluster.permissions import VERBS, WATCH_VERBS
from components.monitoring.workload import RULES
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import MONITORED, api_of, token_of, unwrapped, with_user

READ = ("get", "list", "watch")
OURS = [
    *("namespaces", "configmaps", "serviceaccounts", "services", "deployments", "daemonsets"),
    *("networkpolicies", "poddisruptionbudgets", "scaledobjects", "roles", "rolebindings"),
]
THEIRS = ["replicasets", "persistentvolumeclaims", "endpoints"]
EXACT = (([*VERBS], ["*"], OURS), ([*WATCH_VERBS], ["*"], THEIRS), ([*READ], [""], ["pods"]))


def test_missing_permissions_are_listed(bare_cluster, document, found):
    limited = with_user(document, token=token_of(bare_cluster, "limited"))
    (message,) = found(limited)
    assert f"may not {', '.join(VERBS)} namespaces, " in message
    for permission in (
        "deployments.apps in ai-namespace",
        "scaledobjects.keda.sh in ai-namespace",
        "roles.rbac.authorization.k8s.io in ai-namespace",
        "services in observability",
        "daemonsets.apps in nvidia-device-plugin",
        "serviceaccounts in nvidia-device-plugin",
        "networkpolicies.networking.k8s.io in nvidia-device-plugin",
    ):
        assert permission in message


def test_permissions_for_objects_made_on_demand_are_checked(bare_cluster, document, found):
    limited = with_user(document, token=token_of(bare_cluster, "limited"))
    volume = {"kind": "managed", "persistentVolume": {"sizeGib": 1}}
    (message,) = found(limited, prometheus=volume, gpuSharing={"kind": "timeSlicing", "slices": 2})
    written, _, watched = message.partition("; nor list, watch ")
    assert "persistentvolumeclaims in observability" in written
    assert "persistentvolumeclaims in observability" not in watched
    assert "configmaps in nvidia-device-plugin" in written
    (*_, message) = found(limited, **MONITORED)
    assert "podmonitors.monitoring.coreos.com in ai-namespace" in message


@pytest.fixture
def allowed(bare_cluster, document):
    """Make a user that may do so much everywhere; the way in as that user."""
    client, names = bare_cluster.client(), set()

    def make(name, *rules):
        names.add(name)
        user = with_user(document, token=token_of(bare_cluster, name))
        granted = [
            PolicyRule(verbs=verbs, apiGroups=groups, resources=kinds)
            for verbs, groups, kinds in rules
        ]
        role = ClusterRole(metadata=ObjectMeta(name=name), rules=granted)
        client.apply(role, field_manager="test")
        binding = ClusterRoleBinding(
            metadata=ObjectMeta(name=name),
            roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=name),
            subjects=[Subject(kind="ServiceAccount", name=name, namespace="default")],
        )
        client.apply(binding, field_manager="test")
        with api_of(user) as api:
            # The authoriser learns of a binding by its own watch.
            wait_until(
                "the binding counts", lambda: api.may("get", "", "services", "ai-namespace"), 60
            )
        return user

    yield make
    for name in names:
        client.delete(ClusterRoleBinding, name)
        client.delete(ClusterRole, name)
        client.delete(ServiceAccount, name, namespace="default")


def test_rights_that_a_user_has_are_not_complained_about(allowed, found):
    most = [verb for verb in VERBS if verb != "delete"]
    user = allowed(
        "almost",
        (most, ["*"], ["*"]),
        (["delete"], ["apps", "networking.k8s.io"], ["*"]),
    )
    (message,) = found(user)
    assert "may not delete namespaces, " in message
    assert "services in ai-namespace" in message
    assert "deployments" not in message
    assert "networkpolicies" not in message


def test_a_user_that_could_not_wait_for_what_it_makes_is_refused(allowed, found):
    (message,) = found(allowed("blind", (["get", "create", "patch", "delete"], ["*"], ["*"])))
    assert "may not list, watch namespaces, " in message
    for seen in (
        "deployments.apps in ai-namespace",
        "replicasets.apps in ai-namespace",
        "pods in ai-namespace",
        "persistentvolumeclaims in observability",
        "pods in nvidia-device-plugin",
        "endpoints in ai-namespace",
    ):
        assert seen in message
    assert "replicasets.apps in nvidia-device-plugin" not in message


def makes_prometheus_role(user):
    """The API server's answer."""
    client = Client(KubeConfig.from_dict(user).get())
    metadata = ObjectMeta(name="pods", namespace="default")
    role = Role(metadata=metadata, rules=[PolicyRule.from_dict(rule) for rule in RULES])
    try:
        client.create(role)
    except ApiError as error:
        return error.status.code
    client.delete(Role, "pods", namespace="default")
    return 201


def test_what_is_only_watched_need_not_be_written(allowed, found):
    user = allowed("exact", *EXACT)
    assert found(user) == []
    assert makes_prometheus_role(user) == 201


def test_a_right_that_prometheus_is_given_must_be_the_users_to_give(allowed, found):
    ours, theirs, _ = EXACT
    miser = allowed("miser", ours, theirs, ([*WATCH_VERBS], [""], ["pods"]))
    (message,) = found(miser)
    assert "may not get pods in ai-namespace now:" in message
    assert makes_prometheus_role(miser) == 403
    elsewhere = {"kind": "existing", "address": "http://prometheus:9090", "namespace": "monitoring"}
    assert found(miser, prometheus=elsewhere) == []


def test_a_preview_warns_of_what_up_would_be_refused_for(allowed, found):
    """Of a user with nothing at all it also says that it cannot see whose the namespaces are."""
    reader = allowed("reader", ([*READ], ["*"], ["*"]))
    assert found(reader, preview=True) == []
    plugin = {"enabled": False}
    warned, unseen = found(reader, preview=True, severity="warn", devicePlugin=plugin)
    assert "could not see the effect of admission on pods (create pods in default), so" in unseen
    assert "preflight: `up` would be refused: the user of the kubeconfig may not" in warned
    assert "may not create, patch, delete namespaces, " in warned
    assert "pods" not in warned
    (refused,) = found(allowed("stranger", (["get"], [""], ["services"])), preview=True)
    assert "may not get namespaces, so a preview cannot detect" in refused


def test_a_reader_previews_and_a_user_with_exactly_these_permissions_provisions(
    empty, allowed, tmp_path
):
    def become(name, *rules):
        file = tmp_path / name
        file.write_text(yaml.safe_dump(allowed(name, *rules)))
        empty.set_platform(kind="kubeconfig", path=str(file))

    empty.env.backend_dir.mkdir(parents=True, exist_ok=True)
    empty.pulumi("stack", "select", "dev", "--create").ok()
    become("viewer", ([*READ], ["*"], ["*"]))
    assert "`up` would be refused: the user" in unwrapped(empty.pulumi("preview").ok().output)
    said = unwrapped(empty.pulumi("up", "--yes", "--skip-preview").failed().output)
    assert "preflight: the user of the kubeconfig may not create, patch, delete" in said
    become("provisioner", *EXACT)
    empty.pulumi("up", "--yes", "--skip-preview").ok()
    empty.set_config(inference=[{"gateway": {"replicas": 3}}])
    for name, verbs, kinds in (
        ("viewer", [*READ], ["*"]),
        ("onlooker", ["get"], ["namespaces", "services"]),
    ):
        become(name, (verbs, ["*"], kinds))
        changed = empty.preview_steps()
        assert changed["kubernetes:apps/v1:Deployment::inference-gateway-deployment"] == "update"
    become("provisioner", *EXACT)
    empty.pulumi("up", "--yes", "--skip-preview").ok()
    empty.pulumi("destroy", "--yes", "--skip-preview").ok()
    empty.delete_namespaces()
