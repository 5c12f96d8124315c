"""The whole program, declared under mocks for every stack file.

Not that a provider, an API server or AWS accepts it; dev is applied for real in tests/integration.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from pulumi.runtime.settings import get_monitor

from components import gateway_check, platform
from components.contract import InferenceOutputs, SharedOutputs, key
from components.preflight import made
from components.specs.envoy.validate import BootstrapError
from config.checks.problem import Problem
from config.load import Refused, read_stack_file
from config.platform import PLATFORM_OUTPUTS
from config.settings import Settings
from tests import recording

PROJECT = Path(__file__).resolve().parents[2]
STACKS = ("dev", "staging", "prod")
TRITON = "triton-inference-deployment"

KUBECONFIG = {
    "current-context": "eks",
    "clusters": [{"name": "eks", "cluster": {"server": "https://eks.example.com"}}],
    "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "me"}}],
    "users": [{"name": "me", "user": {"token": "secret"}}],
}
PLATFORM = {
    "kubeconfig": json.dumps(KUBECONFIG),
    "clusterName": "inference",
    "subnetIds": ["subnet-a", "subnet-b"],
    "oidcProviderArn": "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/1",
    "oidcProviderUrl": "https://oidc.example.com/id/1",
}


def run(config, stack="test", **how):
    """Declare the program with the given configuration."""
    references = {f"organization/platform/{name}": PLATFORM for name in STACKS}
    return recording.declare(
        lambda: runpy.run_path(str(PROJECT / "__main__.py")),
        config=config,
        stack=stack,
        stack_outputs=references,
        **how,
    )


@pytest.fixture(scope="module")
def programs():
    """What each stack file declares."""
    return {
        stack: run(read_stack_file(PROJECT / f"Pulumi.{stack}.yaml"), stack) for stack in STACKS
    }


@pytest.fixture(params=STACKS)
def program(request, programs):
    return programs[request.param]


def kubernetes_objects(program):
    return [
        r
        for r in program.resources
        if r.typ.startswith("kubernetes:") and r.typ != "kubernetes:helm.sh/v3:Release"
    ]


def pods(program):
    return [r for r in kubernetes_objects(program) if "template" in r.inputs.get("spec", {})]


def test_platform_outputs_here_are_all_that_a_platform_stack_may_export():
    assert PLATFORM.keys() == PLATFORM_OUTPUTS.keys()


@pytest.mark.parametrize("stack", STACKS)
def test_identities_are_frozen(programs, golden, stack):
    """A changed line replaces what runs under it: add an alias in place of editing it."""
    golden(f"identities-{stack}.txt", "\n".join(programs[stack].identities) + "\n")


def test_the_number_of_replicas_is_stated_nowhere(program):
    triton = program.one("kubernetes:apps/v1:Deployment", TRITON)
    assert "replicas" not in triton["spec"]
    assert "replicas" not in json.dumps(triton)


def test_every_resource_belongs_to_a_component(program):
    roots = {r.typ for r in program.resources if not r.parent}
    assert {typ for typ in roots if not typ.startswith("kubemind:index:")} <= {
        "pulumi:providers:kubernetes",
        "pulumi:pulumi:StackReference",
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
    {"prometheus": {"kind": "existing", "address": "http://p:9090", "namespace": "monitoring"}},
    {
        "prometheus": {
            "kind": "existing",
            "address": "http://p:9090",
            "namespace": "monitoring",
            "podMonitors": True,
        },
        "keda": {"kind": "helm"},
        "devicePlugin": {"timeSlices": 2},
        "inference": [
            {"namePrefix": f"{name}-", "namespace": name, "autoscaler": {"maxReplicas": 2}}
            for name in "ab"
        ],
    },
    {"devicePlugin": {"enabled": False}},
]


@pytest.mark.parametrize("raw", VARIANTS, ids=range(len(VARIANTS)))
def test_preflight_asks_for_exactly_the_rights_that_making_it_all_takes(raw):
    declared = set()
    for resource in kubernetes_objects(run(raw)):
        _, group_version, kind = resource.typ.split(":")
        group = group_version.rpartition("/")[0].removeprefix("core")
        plural = kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")
        namespace = resource.inputs["metadata"].get("namespace") or ""
        declared.add((group, plural, namespace))
    assert set(made(Settings.model_validate(raw))) == declared


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


def test_outputs_are_known_in_a_preview(programs):
    """So that a pull request's preview shows them, and other teams' previews can use them."""
    config = read_stack_file(PROJECT / "Pulumi.dev.yaml")
    assert run(config, "dev", preview=True).exports == programs["dev"].exports


def test_the_endpoint_is_the_service_or_the_load_balancer(programs):
    assert programs["dev"].exports["endpoint"] == (
        "envoy-gateway.ai-namespace.svc.cluster.local:8080"
    )
    assert programs["prod"].exports["endpoint"] == "nlb.example.com:8080"


def test_dev_has_nothing_of_the_cloud(programs):
    assert not [r for r in programs["dev"].resources if r.typ.startswith("aws:")]


def test_dev_does_not_pay_for_the_clouds_sdk():
    """In a process of its own: another test may have imported it into this one."""
    script = (
        "import sys, tests.unit.test_program as t\n"
        "t.run(t.read_stack_file(t.PROJECT / 'Pulumi.dev.yaml'), 'dev')\n"
        "sys.exit('pulumi_aws' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, env=environment, check=True)


def test_only_prods_nodes_are_protected(programs):
    protected = {
        stack: {r.protect for r in programs[stack].all("aws:eks/nodeGroup:NodeGroup")}
        for stack in STACKS
    }
    assert protected == {"dev": set(), "staging": {False}, "prod": {True}}


def test_nodes_join_the_platforms_cluster(programs):
    for stack in ("staging", "prod"):
        group = programs[stack].one("aws:eks/nodeGroup:NodeGroup")
        assert group["clusterName"] == "inference"
        assert group["subnetIds"] == ["subnet-a", "subnet-b"]


def test_bottlerocket_nodes_get_no_second_device_plugin(programs):
    assert not programs["prod"].all("DevicePlugin")
    assert len(programs["staging"].all("DevicePlugin")) == 1


@pytest.mark.parametrize("stack", STACKS)
def test_a_cluster_that_is_refused_gets_nothing(monkeypatch, stack):
    """Not even AWS does, where the cluster is known only once another stack has been read."""
    problem = Problem(check="preflight", severity="refuse", keys={}, reason="no", fix="yes")
    monkeypatch.setattr(platform, "_is_applied", lambda: True)
    monkeypatch.setattr(platform, "preflight", lambda *_: [problem])
    monitors = []

    def program():
        monitors.append(get_monitor())
        runpy.run_path(str(PROJECT / "__main__.py"))

    config = read_stack_file(PROJECT / f"Pulumi.{stack}.yaml")
    references = {f"organization/platform/{stack}": PLATFORM}
    with pytest.raises(Refused, match="preflight: no"):
        recording.declare(program, config=config, stack=stack, stack_outputs=references)
    declared = {resource.typ for resource in monitors[0].declared.resources}
    assert declared <= {"pulumi:pulumi:StackReference"}


def depends(program, later, earlier):
    """Whether one resource is made after another and destroyed before it."""
    by_name = {r.name: r for r in program.resources}
    by_urn = {r.urn: r for r in program.resources}
    todo, seen = [later], set()
    while todo:
        name = todo.pop()
        if name == earlier:
            return True
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        resource = by_name[name]
        todo += resource.depends_on
        if resource.parent:
            todo.append(by_urn[resource.parent].name)
    return False


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("inference-autoscaler-scaled-object", "keda-release"),
        ("inference-autoscaler-scaled-object", "inference-triton-deployment"),
        ("inference-autoscaler-scaled-object", "inference-gateway-deployment"),
        ("inference-autoscaler-scaled-object", "prometheus-deployment"),
        ("inference-autoscaler-scaled-object", "namespaces-ai-namespace"),
        ("keda-release", "namespaces-keda"),
        ("inference-triton-deployment", "gpu-nodes"),
        ("inference-triton-deployment", "device-plugin-daemon-set"),
        ("inference-triton-deployment", "inference-network-triton"),
        ("inference-gateway-deployment", "inference-network-gateway"),
        ("device-plugin-daemon-set", "gpu-nodes"),
        ("prometheus-deployment", "namespaces-observability"),
    ],
)
def test_what_is_needed_comes_first_and_goes_last(programs, later, earlier):
    staging = programs["staging"]
    names = {r.name for r in staging.resources}
    assert {later, earlier} <= names
    assert depends(staging, later, earlier)
    assert not depends(staging, earlier, later)


def three_stacks():
    return run(
        {
            "gpuNodes": {"maxSize": 20},
            "inference": [
                {},
                {"namePrefix": "vision-", "namespace": "vision"},
                {"namePrefix": "speech-"},
            ],
        }
    )


def test_inference_stacks_do_not_collide():
    program = three_stacks()
    names = {r.inputs["metadata"]["name"] for r in program.all("ScaledObject")}
    assert names == {
        "triton-inference-scaler",
        "vision-triton-inference-scaler",
        "speech-triton-inference-scaler",
    }
    queries = {
        r.inputs["spec"]["triggers"][0]["metadata"]["query"] for r in program.all("ScaledObject")
    }
    assert len(queries) == 3
    objects = [
        (r.typ, r.inputs["metadata"].get("namespace"), r.inputs["metadata"]["name"])
        for r in kubernetes_objects(program)
    ]
    assert len(objects) == len(set(objects))


def test_shared_parts_are_there_once():
    program = three_stacks()
    for shared in ("Prometheus", "DevicePlugin", "Namespaces"):
        assert len(program.all(f"kubemind:index:{shared}")) == 1
    assert len(program.all("kubemind:index:Inference")) == 3
    namespaces = [r.inputs["metadata"]["name"] for r in program.all("core/v1:Namespace")]
    assert sorted(namespaces) == [
        "ai-namespace",
        "nvidia-device-plugin",
        "observability",
        "vision",
    ]


def test_another_stack_leaves_the_first_ones_identities_and_outputs_alone(programs):
    program = three_stacks()
    assert set(programs["dev"].identities) <= set(program.identities)
    shared = {item.name for item in SharedOutputs.documented()}
    for name, value in programs["dev"].exports.items():
        assert name in shared or program.exports[name] == value
    assert program.exports[key("scaler_name", "vision-")] == "vision-triton-inference-scaler"
    assert program.exports["namePrefixes"] == ["", "vision-", "speech-"]


def test_wrong_parameters_declare_nothing():
    monitors = []

    def program():
        monitors.append(get_monitor())
        runpy.run_path(str(PROJECT / "__main__.py"))

    with pytest.raises(Refused, match="gpuNodes"):
        recording.declare(program, config={"gpuNodes": {"maxSize": 1}})
    assert monitors[0].declared.resources == []


def test_envoy_refuses_before_anything_is_declared(monkeypatch):
    def refuse(_bootstrap):
        raise BootstrapError("Envoy refuses its bootstrap: field x")

    monkeypatch.setattr(gateway_check, "validate", refuse)
    with pytest.raises(Refused, match=r"inference\[0\]\.gateway") as refusal:
        run({})
    assert "field x" in str(refusal.value)


def test_what_envoy_could_not_check_is_said(monkeypatch):
    monkeypatch.setattr(gateway_check, "validate", lambda _: ["not checked: y"])
    assert ("warning", "gateway: not checked: y") in run({}).logs


def test_nothing_is_looked_up(program):
    """The recorder raises on every look-up but a StackReference's; this names those."""
    reads = [r for r in program.resources if r.typ == "pulumi:pulumi:StackReference"]
    assert [r.name for r in reads] in ([], ["platform"])
