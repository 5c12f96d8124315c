"""Preflight on a real API server: KEDA, claims, pull secrets.

Not that every right is asked for: a right that is missing from the list shows up in the run.
"""

import pytest
import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Namespace, PersistentVolumeClaim
from lightkube.types import PatchType

from components.cluster.api import ClusterApi
from components.common.labels import namespace_labels
from config.sections.platform import LOCAL_CONTEXT
from config.settings import Settings
from config.versions import MIN_KEDA
from ops.stack.cluster_spec import cluster_spec
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import MONITORED, STACK, api_of, token_of, with_user

SCALED_OBJECTS = "scaledobjects.keda.sh"


def test_a_cluster_that_has_everything_is_not_complained_about(document, found):
    assert found(document) == []
    assert found(document, context=LOCAL_CONTEXT) == []


def test_a_missing_pod_monitor_definition_is_named(document, found):
    (message,) = found(document, **MONITORED)
    assert "does not serve monitoring.coreos.com/v1 PodMonitors" in message
    assert "set prometheus.podMonitors to false" in message


def test_a_keda_that_another_release_owns_is_not_installed_twice(document, found):
    (message,) = found(document, keda={"kind": "helm"})
    assert "has a KEDA of another owner (not from Helm)" in message
    assert "set keda.kind to existing" in message


class TestWithoutKeda:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _removed(cls, bare_cluster):
        bare_cluster.client().delete(CustomResourceDefinition, SCALED_OBJECTS)
        with api_of(yaml.safe_load(bare_cluster.kubeconfig.read_text())) as api:
            # The API server takes a moment to serve it no more.
            wait_until(
                "it serves them no more",
                lambda: not api.serves("keda.sh/v1alpha1", "scaledobjects"),
            )
        yield
        bare_cluster.up(cluster_spec(Settings()))

    def test_one_message_names_everything_that_is_missing(self, document, found):
        messages = found(document, **MONITORED)
        assert len(messages) == 2
        assert "does not serve scaledobjects.keda.sh" in messages[0]
        assert "set keda.kind to helm" in messages[0]

    def test_a_chart_that_brings_keda_needs_none(self, document, found):
        assert found(document, keda={"kind": "helm"}) == []
        # The simulated nodes have their GPUs without a plugin.
        by_themselves = {"enabled": False}
        chart = {"kind": "helm"}
        assert found(document, keda=chart, devicePlugin=by_themselves, severity="warn") == []

    def test_a_user_without_all_permissions_learns_that_those_for_the_chart_are_not_checked(
        self, bare_cluster, document, found
    ):
        limited = with_user(document, token=token_of(bare_cluster, "limited"))
        message, unseen = found(limited, keda={"kind": "helm"}, severity="warn")
        assert "preflight could not see" in unseen
        assert "the permissions for KEDA's chart" in message
        assert "preflight does not check" in message


class TestWithAnOldKeda:
    """Its definition as it was before 2.17; KEDA itself does not run here."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _old(cls, bare_cluster):
        fallback = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/fallback"
        # The label, too: by it the cluster knows a definition that needs no second look.
        removed = (f"{fallback}/properties/behavior", "/metadata/labels/kubemind.io~1content")
        patch = [{"op": "remove", "path": path} for path in removed]
        kind, json_patch = CustomResourceDefinition, PatchType.JSON
        bare_cluster.client().patch(kind, SCALED_OBJECTS, patch, patch_type=json_patch)
        with api_of(yaml.safe_load(bare_cluster.kubeconfig.read_text())) as api:
            # The API server takes a moment to tell of a changed schema.
            wait_until("it tells of the old one", lambda: cls.knows_behavior(api) is False, 60)
            yield
            bare_cluster.up(cluster_spec(Settings()))
            wait_until("it tells of the new one", lambda: cls.knows_behavior(api) is True, 60)

    @staticmethod
    def knows_behavior(api):
        schema = str(api.schema("keda.sh/v1alpha1", "ScaledObject"))
        return "currentReplicasIfHigher" in schema if "fallback" in schema else None

    def test_a_fallback_that_would_be_dropped_is_refused_with_the_version_to_have(
        self, document, found
    ):
        (message,) = found(document)
        assert f"KEDA is older than {'.'.join(map(str, MIN_KEDA))}: " in message
        assert "shrink to its fewest replicas" in message
        assert "now: keda.kind = existing" in message

    def test_a_chart_that_brings_another_is_not_held_to_it(self, document, found):
        (message,) = found(document, keda={"kind": "helm"})
        assert "older than" not in message

    def test_a_schema_that_may_not_be_read_gives_no_finding(self, document, found, monkeypatch):
        monkeypatch.setattr(ClusterApi, "schema", lambda *_: {})
        assert found(document) == []


@pytest.fixture
def volumes(bare_cluster):
    """A namespace that was handed to the stack, and a claim in it."""
    client = bare_cluster.client()
    labels = namespace_labels(STACK)
    client.create(Namespace(metadata=ObjectMeta(name="volumes", labels=labels)))

    def make(name):
        asked = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": name, "namespace": "volumes"}
        client.create(PersistentVolumeClaim.from_dict({"metadata": metadata, "spec": asked}))

    yield make
    client.delete(Namespace, "volumes")


def test_a_claim_that_models_lie_on_must_be_there(volumes, document, found):
    on_a_volume = {"modelRepository": {"kind": "pvc", "claim": "models"}}
    stacks = [{"namespace": "volumes", "triton": on_a_volume}]
    (message,) = found(document, inference=stacks)
    assert "there is no PersistentVolumeClaim models in volumes, and Triton's pods" in message
    assert "now: inference[0].triton.modelRepository.claim = models" in message
    assert "kubectl label namespace volumes app.kubernetes.io/part-of=" in message
    volumes("models")
    assert found(document, inference=stacks) == []


def test_a_pull_secret_must_be_in_the_namespace(put, ai_namespace, document, found):
    named = {"inference": [{"gateway": {"pods": {"imagePullSecrets": ["registry"]}}}]}
    (message,) = found(document, **named)
    assert "there is no Secret registry in ai-namespace" in message
    assert "now: inference[0].namespace = ai-namespace" in message
    secret = {"metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson"}
    put(f"{ai_namespace}/secrets", {**secret, "stringData": {".dockerconfigjson": "{}"}})
    assert found(document, **named) == []


def test_a_namespace_that_does_not_exist_yet_has_no_pull_secret(document, found):
    elsewhere = {
        "namespace": "of-tomorrow",
        "gateway": {"pods": {"imagePullSecrets": ["registry"]}},
    }
    assert found(document, inference=[elsewhere]) == []
    warned = found(document, severity="warn", inference=[elsewhere])
    assert any("the namespace of-tomorrow does not exist yet" in message for message in warned)
