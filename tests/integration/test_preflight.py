"""What preflight finds on a real API server, and what it says where there is none.

Not that every right is asked for: a right that is missing from the list shows up in the run.
"""

import base64
import json
import socket
import stat
import sys
import time

import pytest
import yaml
from lightkube import KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Namespace, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding

from components import cluster_api
from components.cluster_api import ClusterApi
from components.labels import PART_OF_LABEL, namespace_labels
from components.preflight import preflight
from config.platform import LOCAL_CONTEXT
from config.settings import Settings
from local.cluster import Cluster

SCALED_OBJECTS = "scaledobjects.keda.sh"
STACK = "dev"
MONITORED = {
    "prometheus": {
        "kind": "existing",
        "address": "http://prometheus:9090",
        "namespace": "monitoring",
        "podMonitors": True,
    }
}


def unwrapped(problem):
    return " ".join(str(problem).split())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("preflight"))
    try:
        cluster.up(Settings())
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def document(cluster):
    return yaml.safe_load(cluster.kubeconfig.read_text())


@pytest.fixture
def found(tmp_path):
    """Problems of a kubeconfig, one printed message each."""

    def look(document, context=None, **parameters):
        file = tmp_path / "kubeconfig"
        file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        at = {"kind": "kubeconfig", "path": str(file), "context": context}
        settings = Settings.model_validate({"platform": at, **parameters})
        return [unwrapped(problem) for problem in preflight(settings, STACK)]

    return look


def with_user(document, **user):
    return {**document, "users": [{"name": document["users"][0]["name"], "user": user}]}


def with_server(document, server):
    (named,) = document["clusters"]
    return {**document, "clusters": [{**named, "cluster": {**named["cluster"], "server": server}}]}


def token_of(cluster, name):
    client = cluster.client()
    account = ServiceAccount(metadata=ObjectMeta(name=name, namespace="default"))
    client.apply(account, field_manager="test")
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    http = client._client._client
    return http.post(path, json={"spec": {}}).json()["status"]["token"]


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def credential_command(tmp_path, body):
    command = tmp_path / "credentials"
    command.write_text(f"#!{sys.executable}\n{body}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(command),
            "installHint": "see the manual",
        }
    }


def test_a_cluster_that_has_everything_is_not_complained_about(document, found):
    assert found(document) == []
    assert found(document, context=LOCAL_CONTEXT) == []


def test_a_missing_pod_monitor_definition_is_named(document, found):
    (message,) = found(document, **MONITORED)
    assert "does not serve monitoring.coreos.com/v1 PodMonitors" in message
    assert "set prometheus.podMonitors to false" in message


def test_a_keda_that_another_release_owns_is_not_installed_twice(document, found):
    (message,) = found(document, keda={"kind": "helm"})
    assert "has a KEDA that is not ours (not from Helm)" in message
    assert "set keda.kind to existing" in message


class TestWithoutKeda:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _removed(cls, cluster):
        cluster.client().delete(CustomResourceDefinition, SCALED_OBJECTS)
        target = KubeConfig.from_file(cluster.kubeconfig).get()
        with ClusterApi(target) as api:
            # The API server takes a moment to serve it no more.
            until(lambda: not api.serves("keda.sh/v1alpha1", "scaledobjects"))
        yield
        cluster.up(Settings())

    def test_everything_that_is_missing_is_said_at_once(self, document, found):
        messages = found(document, **MONITORED)
        assert len(messages) == 2
        assert "does not serve scaledobjects.keda.sh" in messages[0]
        assert "set keda.kind to helm" in messages[0]

    def test_a_chart_that_brings_keda_needs_none(self, document, found):
        assert found(document, keda={"kind": "helm"}) == []


class TestNamespacesThatAreThere:
    @pytest.fixture
    def named(self, cluster):
        """Make `observability` by hand, with these labels."""
        client = cluster.client()

        def make(labels):
            metadata = ObjectMeta(name="observability", labels=labels)
            client.apply(Namespace(metadata=metadata), field_manager="test", force=True)

        yield make
        client.delete(Namespace, "observability")
        with ClusterApi(KubeConfig.from_file(cluster.kubeconfig).get()) as api:
            until(lambda: api.namespace_labels("observability") is None)

    @pytest.mark.parametrize(
        ("labels", "whose"),
        [
            ({}, "not made by this stack"),
            ({PART_OF_LABEL: "another-product"}, "not made by this stack"),
            (namespace_labels("staging"), "of the Pulumi stack staging"),
        ],
    )
    def test_somebody_elses_is_not_taken_over(self, document, found, named, labels, whose):
        named(labels)
        (message,) = found(document)
        assert f"has a namespace observability that is {whose}" in message
        assert "`destroy` delete it with all that it holds" in message
        assert "now: prometheus.namespace = observability" in message
        assert "fix: name another namespace" in message

    @pytest.mark.parametrize(
        "labels", [namespace_labels(STACK), {PART_OF_LABEL: namespace_labels(STACK)[PART_OF_LABEL]}]
    )
    def test_ours_and_one_handed_over_pass(self, document, found, named, labels):
        named(labels)
        assert found(document) == []

    def test_every_key_that_names_it_is_said(self, document, found, named):
        named({})
        stacks = [{"namePrefix": f"{name}-", "namespace": "observability"} for name in "ab"]
        elsewhere = {"kind": "existing", "address": "http://p:9090", "namespace": "monitoring"}
        (message,) = found(document, inference=stacks, prometheus=elsewhere)
        assert "inference[0].namespace = observability" in message
        assert "inference[1].namespace = observability" in message

    def test_one_that_the_stack_does_not_make_is_left_to_its_owner(self, document, found, named):
        named({})
        elsewhere = {"kind": "existing", "address": "http://p:9090", "namespace": "observability"}
        assert found(document, prometheus=elsewhere) == []


def test_missing_rights_are_listed(cluster, document, found):
    limited = with_user(document, token=token_of(cluster, "limited"))
    (message,) = found(limited)
    assert "may not get, create, patch, delete namespaces, " in message
    for right in (
        "deployments.apps in ai-namespace",
        "scaledobjects.keda.sh in ai-namespace",
        "roles.rbac.authorization.k8s.io in ai-namespace",
        "services in observability",
        "daemonsets.apps in nvidia-device-plugin",
        "serviceaccounts in nvidia-device-plugin",
        "networkpolicies.networking.k8s.io in nvidia-device-plugin",
    ):
        assert right in message
    assert "persistentvolumeclaims" not in message


def test_rights_of_what_is_made_on_demand_are_asked_for(cluster, document, found):
    limited = with_user(document, token=token_of(cluster, "limited"))
    volume = {"kind": "managed", "persistentVolume": {"sizeGib": 1}}
    (message,) = found(limited, prometheus=volume, devicePlugin={"timeSlices": 2})
    assert "persistentvolumeclaims in observability" in message
    assert "configmaps in nvidia-device-plugin" in message
    (*_, message) = found(limited, **MONITORED)
    assert "podmonitors.monitoring.coreos.com in ai-namespace" in message


def test_rights_that_a_user_has_are_not_complained_about(cluster, document, found):
    token = token_of(cluster, "almost")
    client = cluster.client()
    everything = [
        PolicyRule(verbs=["get", "create", "patch"], apiGroups=["*"], resources=["*"]),
        PolicyRule(verbs=["delete"], apiGroups=["apps", "networking.k8s.io"], resources=["*"]),
    ]
    role = ClusterRole(metadata=ObjectMeta(name="almost"), rules=everything)
    client.apply(role, field_manager="test")
    binding = ClusterRoleBinding(
        metadata=ObjectMeta(name="almost"),
        roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="almost"),
        subjects=[Subject(kind="ServiceAccount", name="almost", namespace="default")],
    )
    client.apply(binding, field_manager="test")
    target = KubeConfig.from_dict(with_user(document, token=token)).get()
    with ClusterApi(target) as api:
        # The authoriser learns of a binding by its own watch.
        until(lambda: api.may("delete", "apps", "deployments", "ai-namespace"))
    (message,) = found(with_user(document, token=token))
    assert "may not delete namespaces, " in message
    assert "services in ai-namespace" in message
    assert "deployments" not in message
    assert "networkpolicies" not in message


def test_credentials_by_command_are_used(cluster, document, found, tmp_path):
    status = {"status": {"token": token_of(cluster, "by-command")}}
    user = credential_command(tmp_path, f"print({json.dumps(json.dumps(status))})")
    (message,) = found(with_user(document, **user))
    assert "may not get, create, patch, delete namespaces" in message


def test_a_client_certificate_by_command_is_used(document, found, tmp_path):
    (named,) = document["users"]
    held = named["user"]

    def pem(key):
        if f"{key}-data" in held:
            return base64.b64decode(held[f"{key}-data"]).decode()
        with open(held[key]) as file:  # noqa: PTH123
            return file.read()

    status = {
        "status": {
            "clientCertificateData": pem("client-certificate"),
            "clientKeyData": pem("client-key"),
        }
    }
    user = credential_command(tmp_path, f"print({json.dumps(json.dumps(status))})")
    assert found(with_user(document, **user)) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.exit('token has expired, log in again')", "token has expired, log in"),
        ("print('hello')", "gave no credentials"),
    ],
)
def test_a_credential_command_that_fails_is_quoted(document, found, tmp_path, body, said):
    (message,) = found(with_user(document, **credential_command(tmp_path, body)))
    assert said in message
    assert "refuses the credentials" in message


def test_a_credential_command_that_is_missing_is_named_with_its_hint(document, found, tmp_path):
    user = credential_command(tmp_path, "")
    user["exec"]["command"] = "no-such-command"
    (message,) = found(with_user(document, **user))
    assert "no-such-command is not installed (see the manual)" in message


def test_a_wrong_token_is_a_matter_of_credentials(document, found):
    (message,) = found(with_user(document, token="wrong"))
    assert "refuses the credentials" in message
    assert "401 Unauthorized" in message


def test_a_server_with_another_certificate_is_not_trusted(document, found):
    (named,) = document["clusters"]
    strange = {
        **document,
        "clusters": [{**named, "cluster": {"server": named["cluster"]["server"]}}],
    }
    (message,) = found(strange)
    assert "its certificate is not of the kubeconfig's authority" in message


def test_a_dead_address_is_one_message(document, found):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert f"https://127.0.0.1:{port}" in message
    assert "does not answer" in message
    assert "platform.path" in message


def test_a_server_that_never_answers_is_not_waited_for(document, found, monkeypatch):
    monkeypatch.setattr(cluster_api, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(cluster_api, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert "takes too long (0.2 s to connect, 0.2 s to answer)" in message


def test_an_address_that_is_no_kubernetes_is_said(document, found):
    (message,) = found(with_server(document, "https://no-such-host.invalid"))
    assert "does not answer" in message


@pytest.mark.parametrize(
    "text",
    ["[1]", "a: b: c", "just text", "clusters: 3", "{clusters: [{}]}", "{users: [{name: x}]}"],
)
def test_what_is_no_kubeconfig_is_said_so(found, text):
    (message,) = found(text)
    assert "cannot be read: it is not a kubeconfig" in message
    assert "fix: correct platform.path, or the file" in message


def test_an_unknown_context_is_named_with_those_there_are(document, found):
    (message,) = found(document, context="prod")
    assert f"has no usable context 'prod'; its contexts: {LOCAL_CONTEXT}" in message
    (message,) = found("kind: Config", context="prod")
    assert "has no usable context 'prod'; its contexts: none" in message
    (message,) = found({**document, "current-context": ""})
    assert f"has no current context; its contexts: {LOCAL_CONTEXT}" in message


def test_a_context_without_its_cluster_is_said(document, found):
    (message,) = found({**document, "clusters": []})
    assert f"context '{LOCAL_CONTEXT}' names '" in message
    assert "which the kubeconfig does not hold" in message


def test_a_missing_file_is_named_with_its_key():
    at = {"kind": "kubeconfig", "path": "nowhere/kubeconfig"}
    (problem,) = preflight(Settings.model_validate({"platform": at}), STACK)
    assert "the kubeconfig nowhere/kubeconfig cannot be read: No such file" in unwrapped(problem)


def test_without_a_local_cluster_the_fix_is_to_start_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = preflight(Settings(), STACK)
    assert "there is no local cluster" in unwrapped(problem)
    assert "fix: start it: make up" in unwrapped(problem)
