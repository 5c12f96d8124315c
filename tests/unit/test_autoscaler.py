"""The ScaledObject, held against KEDA's own CRD; not that KEDA acts on it."""

import copy

import jsonschema
import pytest
import yaml

from components.autoscaler.component import Autoscaler, AutoscalerArgs
from components.autoscaler.queries import scaler_query
from components.autoscaler.scaled_object import scaled_object
from config.sections.inference import InferenceStack
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus
from local_cluster import toolchain

VARIANTS = {
    "defaults": {},
    "seed's signal": {"signal": {"kind": "inFlight"}},
    "one size": {"minReplicas": 4, "maxReplicas": 4},
    "no cooldown, odd threshold": {"cooldownSeconds": 0, "threshold": 12.5},
    "slow growth": {"scaleUp": {"pods": 3, "periodSeconds": 60, "stabilizationSeconds": 30}},
    "fast shrinking": {"scaleDown": {"pods": 5, "periodSeconds": 15}},
}


def spec_of(prometheus=None, **autoscaler):
    stack = InferenceStack.model_validate({"autoscaler": autoscaler})
    return scaled_object(stack, prometheus or ManagedPrometheus())


@pytest.fixture(scope="session")
def keda_schema():
    """openAPIV3Schema of the installed CRD's `spec`, made to refuse what the server would prune."""
    documents = yaml.safe_load_all(toolchain.ensure("keda-crds")["keda-crds"].read_text())
    (crd,) = [d for d in documents if d and d["metadata"]["name"] == "scaledobjects.keda.sh"]
    (version,) = [v for v in crd["spec"]["versions"] if v["name"] == "v1alpha1"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return close(copy.deepcopy(spec))


def close(schema):
    """Refuse unknown fields: the API server drops them without a word."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            close(value)
    elif isinstance(schema, list):
        for item in schema:
            close(item)
    return schema


@pytest.mark.parametrize("autoscaler", VARIANTS.values(), ids=VARIANTS)
def test_kedas_crd_knows_every_field(keda_schema, autoscaler):
    jsonschema.validate(spec_of(**autoscaler), keda_schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("coolDownPeriod",), 300),
        (("triggers", 0, "metricName"), "envoy_cluster_upstream_rq_active"),
        (("triggers", 0, "metadata", "threshold"), 16),
        (("fallback", "behaviour"), "static"),
        (("fallback", "behavior"), "keep"),
        (("minReplicaCount",), "2"),
    ],
)
def test_the_crd_would_tell(keda_schema, path, value):
    """The check above can fail: one field wrong, and it does."""
    spec = spec_of()
    target = spec
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, keda_schema)


def test_the_baselines_numbers_are_the_defaults():
    spec = spec_of()
    assert spec["scaleTargetRef"]["name"] == "triton-inference-deployment"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    assert spec["cooldownPeriod"] == 300
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"]["threshold"] == "16"
    assert trigger["metadata"]["serverAddress"] == (
        "http://prometheus-server.observability.svc.cluster.local:9090"
    )


def test_the_total_is_divided_by_the_replicas_and_not_compared_to_each():
    """AverageValue wants a total, which the queries are; Value would want a mean."""
    (trigger,) = spec_of()["triggers"]
    assert trigger["metricType"] == "AverageValue"
    assert trigger["metadata"]["query"].startswith("sum(")


def test_a_removed_field_of_kedas_prometheus_trigger_is_not_written():
    (trigger,) = spec_of()["triggers"]
    assert "metricName" not in trigger["metadata"]


def test_lost_metrics_hold_the_fleet():
    spec = spec_of(minReplicas=3, fallbackFailures=5)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert spec["fallback"] == {
        "failureThreshold": 5,
        "replicas": 3,
        "behavior": "currentReplicasIfHigher",
    }


def test_the_cooldown_is_what_keeps_loaded_models_up():
    """KEDA's own field governs the step to zero alone, which is never taken here."""
    spec = spec_of(cooldownSeconds=480)
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 480
    assert spec["cooldownPeriod"] == 480


def test_the_fleet_grows_to_its_maximum_in_one_step_by_default():
    def policy(**autoscaler):
        spec = spec_of(**autoscaler)
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        return behavior["scaleUp"]["policies"]

    assert policy() == [{"type": "Pods", "value": 18, "periodSeconds": 15}]
    assert policy(scaleUp={"pods": 2, "periodSeconds": 30}) == [
        {"type": "Pods", "value": 2, "periodSeconds": 30}
    ]
    assert policy(minReplicas=7, maxReplicas=7)[0]["value"] == 1


def test_the_fleet_shrinks_as_stated():
    spec = spec_of(scaleDown={"pods": 3, "periodSeconds": 90})
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 3, "periodSeconds": 90}]


def test_an_existing_prometheus_is_asked_at_its_address():
    existing = ExistingPrometheus(
        kind="existing", address="http://thanos.monitoring:9090", namespace="monitoring"
    )
    (trigger,) = spec_of(prometheus=existing)["triggers"]
    assert trigger["metadata"]["serverAddress"] == "http://thanos.monitoring:9090"


def declared(declare, **stack):
    config = InferenceStack.model_validate(stack)
    args = AutoscalerArgs(config=config, prometheus=ManagedPrometheus())
    return config, declare(lambda: Autoscaler("scaler", args))


def test_the_component_declares_the_scaled_object_and_nothing_else(declare):
    stack, seen = declared(declare)
    assert seen.identities == [
        "kubemind:index:Autoscaler$kubernetes:keda.sh/v1alpha1:ScaledObject::scaler-scaled-object",
        "kubemind:index:Autoscaler::scaler",
    ]
    declared_object = seen.one("kubernetes:keda.sh/v1alpha1:ScaledObject")
    assert declared_object["metadata"]["name"] == "triton-inference-scaler"
    assert declared_object["metadata"]["namespace"] == "ai-namespace"
    assert declared_object["spec"] == scaled_object(stack, ManagedPrometheus())
    assert seen.outputs["scaler"] == {"scalerName": "triton-inference-scaler"}


def test_nothing_waits_for_keda_to_report(declare):
    _, seen = declared(declare)
    metadata = seen.one("kubernetes:keda.sh/v1alpha1:ScaledObject")["metadata"]
    assert not any(key.startswith("pulumi.com/") for key in metadata.get("annotations", {}))


def test_a_second_stack_scales_its_own_fleet(declare):
    stack, seen = declared(declare, namePrefix="vision-", namespace="vision")
    scaled = seen.one("kubernetes:keda.sh/v1alpha1:ScaledObject")
    assert scaled["metadata"]["name"] == "vision-triton-inference-scaler"
    assert scaled["metadata"]["namespace"] == "vision"
    assert scaled["spec"]["scaleTargetRef"]["name"] == "vision-triton-inference-deployment"
    assert scaled["spec"]["triggers"][0]["metadata"]["query"] == scaler_query(
        stack, ManagedPrometheus()
    )


ACCESS = {
    "bearer": (
        {"kind": "bearer", "secret": "metrics", "caKey": "ca.crt"},
        {"authModes": "bearer"},
        {"bearerToken": "token", "ca": "ca.crt"},
    ),
    "basic": (
        {"kind": "basic", "secret": "metrics"},
        {"authModes": "basic"},
        {"username": "username", "password": "password"},
    ),
    "tls": (
        {"kind": "tls", "secret": "metrics"},
        {"authModes": "tls"},
        {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"},
    ),
    "header": (
        {"kind": "header", "secret": "metrics"},
        {"authModes": "custom"},
        {"customAuthHeader": "name", "customAuthValue": "value"},
    ),
}


def existing(**parameters):
    return ExistingPrometheus.model_validate(
        {
            "kind": "existing",
            "address": "https://metrics.example.com",
            "namespace": "m",
            **parameters,
        }
    )


def scaled_by(declare, prometheus):
    """Every object that the autoscaler declares, by kind."""
    args = AutoscalerArgs(config=InferenceStack(), prometheus=prometheus)
    return declare(lambda: Autoscaler("inference-autoscaler", args))


@pytest.mark.parametrize(("access", "metadata", "keys"), ACCESS.values(), ids=ACCESS)
def test_keda_authenticates_to_prometheus_by_a_secret_of_its_namespace(
    declare, keda_schema, access, metadata, keys
):
    declared = scaled_by(declare, existing(authentication=access))
    made = declared.one("kubernetes:keda.sh/v1alpha1:ClusterTriggerAuthentication")
    assert made["spec"] == {
        "secretTargetRef": [
            {"parameter": parameter, "name": "metrics", "key": key}
            for parameter, key in keys.items()
        ]
    }
    spec = spec_of(existing(authentication=access))
    jsonschema.validate(spec, keda_schema)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"].items() >= metadata.items()
    assert trigger["authenticationRef"] == {
        "name": made["metadata"]["name"],
        "kind": "ClusterTriggerAuthentication",
    }


def test_requests_to_amazons_prometheus_are_signed_by_kedas_identity(declare):
    role = "arn:aws-us-gov:iam::123456789012:role/metrics"
    access = {"kind": "awsSigV4", "region": "us-gov-west-1", "roleArn": role}
    declared = scaled_by(declare, existing(authentication=access))
    made = declared.one("kubernetes:keda.sh/v1alpha1:ClusterTriggerAuthentication")
    assert made["spec"] == {"podIdentity": {"provider": "aws", "roleArn": role}}
    (trigger,) = spec_of(existing(authentication=access))["triggers"]
    assert trigger["metadata"]["awsRegion"] == "us-gov-west-1"
    assert "authModes" not in trigger["metadata"]


def test_an_authentication_that_is_there_is_named_and_not_made(declare):
    access = {"kind": "triggerAuthentication", "name": "theirs", "authModes": ["tls", "custom"]}
    declared = scaled_by(declare, existing(authentication=access))
    assert not [line for line in declared.identities if "ClusterTriggerAuthentication" in line]
    (trigger,) = spec_of(existing(authentication=access))["triggers"]
    assert trigger["metadata"]["authModes"] == "tls,custom"
    assert trigger["authenticationRef"]["name"] == "theirs"
    (trigger,) = spec_of(existing(authentication={**access, "cluster": False}))["triggers"]
    assert trigger["authenticationRef"] == {"name": "theirs"}


def test_a_tenant_is_a_header_of_the_query():
    (trigger,) = spec_of(existing(headers={"X-Scope-OrgID": "a", "X-B": "c"}))["triggers"]
    assert trigger["metadata"]["customHeaders"] == "X-Scope-OrgID=a,X-B=c"
    assert "authenticationRef" not in trigger


def test_a_trailing_slash_is_no_part_of_the_address():
    (trigger,) = spec_of(existing(address="https://metrics.example.com/prom/"))["triggers"]
    assert trigger["metadata"]["serverAddress"] == "https://metrics.example.com/prom"
