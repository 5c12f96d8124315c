"""Preflight on a real API server: admission, and permissions that a user lacks.

The rules are the API server's own (LimitRange, admission policies in CEL); a webhook's answer comes
the same way.
"""

import pytest

from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import token_of, with_user

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


class TestAdmission:
    @staticmethod
    def limits(put, ai_namespace, **limit):
        spec = {"limits": [{"type": "Container", **limit}]}
        put(f"{ai_namespace}/limitranges", {"metadata": {"name": "team"}, "spec": spec})

    @staticmethod
    def rule(put, kind, resource, spec):
        """A policy for objects that tests try, and its binding."""
        rules = [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": [resource],
            }
        ]
        at, version = f"{ADMISSION}/{kind.lower()[:-1]}ies", "admissionregistration.k8s.io/v1"
        spec = {"matchConstraints": {"resourceRules": rules}, **spec}
        put(at, {"metadata": {"name": "test"}, "spec": spec}, version)
        effect = {"validationActions": ["Deny"]} if kind.startswith("Validating") else {}
        bound = {"policyName": "test", **effect}
        put(f"{at[:-3]}ybindings", {"metadata": {"name": "test"}, "spec": bound}, version)

    @staticmethod
    def until(found, document, severity, text, **how):
        """Messages, once the API server has taken notice of a rule."""

        def messages():
            said = found(document, severity=severity, **how)
            return said if any(text in message for message in said) else None

        return wait_until(f"preflight says {text!r}", messages, 60)

    def test_defaults_of_a_limit_range_are_named(self, put, ai_namespace, found, document):
        self.limits(put, ai_namespace, default={"cpu": "4"}, defaultRequest={"cpu": "100m"})
        said = self.until(found, document, "warn", "limits.cpu")
        assert any(
            "changes the gateway's pods in ai-namespace: envoy.resources.limits.cpu is 4, not unset"
            in message
            for message in said
        )

    def test_pods_beyond_a_limit_range_are_refused_in_the_api_servers_words(
        self, put, ai_namespace, found, document
    ):
        self.limits(put, ai_namespace, max={"memory": "1Gi"})
        (message,) = self.until(found, document, "refuse", "maximum memory")
        assert "refuses Triton's pods in ai-namespace:" in message
        assert "maximum memory usage per Container is 1Gi" in message

    @pytest.mark.usefixtures("ai_namespace")
    def test_a_policy_that_refuses_pods_is_quoted(self, put, found, document):
        validation = {
            "expression": "'team' in object.metadata.labels",
            "message": "pods need a label team",
        }
        spec = {"failurePolicy": "Fail", "validations": [validation]}
        self.rule(put, "ValidatingAdmissionPolicy", "pods", spec)
        said = self.until(found, document, "refuse", "pods need a label team")
        assert len(said) == 2
        assert "refuses Triton's pods in ai-namespace: " in said[0]
        # Pods of a missing namespace are tried in another one, where other rules hold.
        said = found(document, severity="warn")
        assert any(
            "refuses Prometheus' pods in default (tried there, because observability does not"
            in message
            for message in said
        )

    def test_a_policy_that_refuses_namespaces_is_quoted(self, put, found, document):
        validation = {"expression": "false", "message": "ask the platform team"}
        condition = {"name": "ours", "expression": "object.metadata.name == 'observability'"}
        spec = {
            "failurePolicy": "Fail",
            "validations": [validation],
            "matchConditions": [condition],
        }
        self.rule(put, "ValidatingAdmissionPolicy", "namespaces", spec)
        (message,) = self.until(found, document, "refuse", "ask the platform team")
        assert "refuses the namespace observability: " in message
        assert "now: prometheus.namespace = observability" in message

    @pytest.mark.usefixtures("ai_namespace")
    def test_a_policy_that_changes_pods_is_named(self, put, found, document, api):
        if not api.serves("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies"):
            pytest.skip("this API server has no MutatingAdmissionPolicy")
        changed = (
            "Object{spec: Object.spec{containers: ["
            'Object.spec.containers{name: "sidecar", image: "sidecar:1"},'
            'Object.spec.containers{name: "envoy", image: "mirror.example/envoy:1",'
            " securityContext: Object.spec.containers.securityContext{"
            "readOnlyRootFilesystem: false}}]}}"
        )
        mutation = {
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": changed},
        }
        condition = {
            "name": "gateways",
            "expression": "object.spec.containers.exists(c, c.name == 'envoy')",
        }
        spec = {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [mutation],
            "matchConditions": [condition],
        }
        self.rule(put, "MutatingAdmissionPolicy", "pods", spec)
        said = self.until(found, document, "warn", "sidecar")
        (changed, weakened) = (
            next(message for message in said if text in message)
            for text in ("it adds containers", "more privileges")
        )
        assert (
            "changes the gateway's pods in ai-namespace: it adds containers sidecar (sidecar:1)"
            in changed
        )
        assert "envoy.image is mirror.example/envoy:1, not " in changed
        assert "envoy.securityContext.readOnlyRootFilesystem is False, not True" in weakened


def test_the_message_names_the_objects_that_could_not_be_read(bare_cluster, document, found):
    limited = with_user(document, token=token_of(bare_cluster, "limited"))
    volume = {"kind": "managed", "persistentVolume": {"sizeGib": 1}}
    said = found(limited, prometheus=volume, severity="warn")
    (message,) = (message for message in said if "preflight could not see" in message)
    for thing in (
        "nodes (GPUs, labels and taints)",
        "StorageClasses",
        "DaemonSets of all namespaces",
        "where DNS is",
        "the cluster's IP family",
        "create pods in default",
        "ResourceQuotas in ai-namespace",
    ):
        assert thing in message
