"""The whole program, declared under mocks for every stack file.

Not that a provider, an API server or AWS accepts it; dev is applied for real in tests/integration.
"""

import json
import os
import subprocess
import sys
from functools import cache

import pytest

from components.contract import InferenceOutputs, SharedOutputs
from config.base import PROJECT_FOLDER
from config.inventory import managed_resources
from config.sections.platform import PLATFORM_OUTPUTS
from config.selectors import ENVOY, NAME_LABEL, TRITON
from config.settings import Settings
from tests.unit.whole_program import (
    PLATFORM,
    STACKS,
    config_of,
    declared_by,
    kubernetes_objects,
    run,
)


@pytest.fixture(params=STACKS)
def program(request):
    return declared_by(request.param)


def pods(program):
    return [r for r in kubernetes_objects(program) if "template" in r.inputs.get("spec", {})]


def test_platform_outputs_here_are_all_that_a_platform_stack_may_export():
    assert PLATFORM.keys() == PLATFORM_OUTPUTS.keys()


@pytest.mark.parametrize("stack", STACKS)
def test_identities_are_frozen(golden, stack):
    """A changed line replaces what runs under it: add an alias in place of editing it."""
    golden(f"identities-{stack}.txt", "\n".join(declared_by(stack).identities) + "\n")


def test_the_number_of_replicas_is_stated_nowhere(program):
    triton = program.one("kubernetes:apps/v1:Deployment", "triton-inference-deployment")
    assert "replicas" not in triton["spec"]
    assert "replicas" not in json.dumps(triton)


def test_every_resource_belongs_to_a_component(program):
    roots = {r.typ for r in program.resources if not r.parent}
    assert {typ for typ in roots if not typ.startswith("kubemind:index:")} <= {
        "pulumi:providers:kubernetes",
        "pulumi:pulumi:StackReference",
        "pulumi:index:Stash",
    }


def test_every_object_goes_to_the_one_cluster(program):
    assert {r.provider for r in kubernetes_objects(program)} == {"cluster"}


def test_every_object_is_in_a_namespace_that_the_program_makes(program):
    made = {r.inputs["metadata"]["name"] for r in program.all("kubernetes:core/v1:Namespace")}
    assert made
    for resource in kubernetes_objects(program):
        if resource.typ != "kubernetes:core/v1:Namespace":
            assert resource.inputs["metadata"]["namespace"] in made, resource.name
    for release in program.all("kubernetes:helm.sh/v3:Release"):
        assert release.inputs["namespace"] in made


VARIANTS = [
    {},
    {"prometheus": {"kind": "managed", "persistentVolume": {"sizeGib": 1}}},
    {"prometheus": {"kind": "existing", "address": "http://p.m:9090", "namespace": "monitoring"}},
    {
        "prometheus": {
            "kind": "existing",
            "address": "https://p.m:9090",
            "namespace": "monitoring",
            "authentication": {"kind": "basic", "secret": "metrics"},
        }
    },
    {
        "prometheus": {
            "kind": "existing",
            "address": "http://p.m:9090",
            "namespace": "monitoring",
            "podMonitors": True,
        },
        "keda": {"kind": "helm"},
        "gpuSharing": {"kind": "timeSlicing", "slices": 2},
        "inference": [
            {"namePrefix": f"{name}-", "namespace": name, "autoscaler": {"maxReplicas": 2}}
            for name in "ab"
        ],
    },
    {"devicePlugin": {"enabled": False}},
    {"keda": {"kind": "helm", "namespace": "scaling"}},
]


@cache
def variant(index):
    return run(VARIANTS[index])


@pytest.mark.parametrize("index", range(len(VARIANTS)))
def test_preflight_asks_for_exactly_the_permissions_that_the_program_needs(index):
    declared = set()
    for resource in kubernetes_objects(variant(index)):
        _, group_version, kind = resource.typ.split(":")
        group = group_version.rpartition("/")[0].removeprefix("core")
        plural = kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")
        namespace = resource.inputs["metadata"].get("namespace") or ""
        declared.add((group, plural, namespace))
    assert set(managed_resources(Settings.model_validate(VARIANTS[index]))) == declared


@pytest.mark.parametrize("index", range(len(VARIANTS)))
def test_annotations_or_pod_monitors_lead_to_a_pod_and_never_both(index):
    """A Prometheus that follows both would count each call twice."""
    program = variant(index)
    monitors = program.all("kubernetes:monitoring.coreos.com/v1:PodMonitor")
    selectors = [monitor.inputs["spec"]["selector"]["matchLabels"] for monitor in monitors]
    for resource in pods(program):
        metadata = resource.inputs["spec"]["template"]["metadata"]
        labels = metadata["labels"]
        followed = any(selector.items() <= labels.items() for selector in selectors)
        annotated = "prometheus.io/scrape" in (metadata.get("annotations") or {})
        serves = labels[NAME_LABEL] in (ENVOY, TRITON)
        assert followed + annotated == serves, resource.name


def test_names_are_explicit_and_no_two_objects_share_one(program):
    identities = [
        (r.typ, r.inputs["metadata"].get("namespace"), r.inputs["metadata"]["name"])
        for r in kubernetes_objects(program)
    ]
    assert len(identities) == len(set(identities))


def test_every_image_is_pinned(program):
    for resource in pods(program):
        spec = resource.inputs["spec"]["template"]["spec"]
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            name, _, tag = container["image"].rpartition(":")
            assert name, container["image"]
            assert tag != "latest", container["image"]


def test_every_service_selects_pods_of_the_program(program):
    labelled = [
        (r.inputs["metadata"]["namespace"], r.inputs["spec"]["template"]["metadata"]["labels"])
        for r in pods(program)
    ]
    services = program.all("kubernetes:core/v1:Service")
    assert services
    for service in services:
        wanted = service.inputs["spec"]["selector"].items()
        namespace = service.inputs["metadata"]["namespace"]
        assert any(where == namespace and wanted <= labels.items() for where, labels in labelled), (
            service.name
        )


def test_the_scaler_scales_the_deployment_that_is_there(program):
    scaled = program.one("kubernetes:keda.sh/v1alpha1:ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]["name"]
    deployment = program.one("kubernetes:apps/v1:Deployment", target)
    assert deployment["metadata"]["namespace"] == scaled["metadata"]["namespace"]


def test_the_contract_is_kept_and_nothing_more_is_exported(program):
    promised = {item.name for item in SharedOutputs.documented()}
    promised |= {item.name for item in InferenceOutputs.documented()}
    assert set(program.exports) == promised
    assert program.secret_exports == frozenset()


def test_outputs_are_known_in_a_preview():
    """So that a pull request's preview shows them, and other teams' previews can use them."""
    config = config_of("dev")
    assert run(config, "dev", preview=True).exports == declared_by("dev").exports


def test_the_endpoint_is_the_service_or_the_load_balancer():
    assert declared_by("dev").exports["endpoint"] == (
        "envoy-gateway.ai-namespace.svc.cluster.local:8080"
    )
    assert declared_by("prod").exports["endpoint"] == "nlb.example.com:8080"


def test_dev_has_nothing_of_the_cloud():
    assert not [r for r in declared_by("dev").resources if r.typ.startswith("aws:")]


def test_dev_does_not_pay_for_the_clouds_sdk():
    """In a process of its own: another test may have imported it into this one."""
    script = (
        "import sys; from tests.unit.whole_program import declared_by\n"
        "declared_by('dev')\n"
        "sys.exit('pulumi_aws' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)}
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT_FOLDER, env=environment, check=True)


def test_only_prods_nodes_are_protected():
    protected = {
        stack: {r.protect for r in declared_by(stack).all("aws:eks/nodeGroup:NodeGroup")}
        for stack in STACKS
    }
    assert protected == {"dev": set(), "staging": {False}, "prod": {True}}


def test_nodes_join_the_platforms_cluster():
    for stack in ("staging", "prod"):
        group = declared_by(stack).one("aws:eks/nodeGroup:NodeGroup")
        assert group["clusterName"] == "inference"
        assert group["subnetIds"] == ["subnet-a", "subnet-b"]


def test_bottlerocket_nodes_get_no_second_device_plugin():
    assert not declared_by("prod").all("DevicePlugin")
    assert len(declared_by("staging").all("DevicePlugin")) == 1


def test_nothing_is_looked_up(program):
    """The recorder raises on every look-up but a StackReference's; this names those."""
    reads = [r for r in program.resources if r.typ == "pulumi:pulumi:StackReference"]
    assert [r.name for r in reads] in ([], ["platform"])
