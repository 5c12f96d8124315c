"""Preflight on add-ons of EKS, by objects as such clusters have them; none of them runs here.

The names and arguments are those of the add-ons' manifests: aws/eks-pod-identity-agent,
aws/eks-node-monitoring-agent, aws/amazon-vpc-cni-k8s, kubernetes-sigs/aws-load-balancer-controller,
kubernetes-sigs/aws-ebs-csi-driver and NVIDIA/gpu-operator.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from components.cluster.preflight.balancer import balancer
from components.cluster.preflight.claims import claims
from components.cluster.preflight.eks import eks
from components.cluster.preflight.gpus import gpus
from components.cluster.preflight.reader import ClusterReader
from components.cluster.preflight.storage import storage
from config.problem import Problem
from config.settings import Settings
from tests.unit.preflight_api import Api, Json

PLATFORM = {"kind": "stackReference", "stack": "organization/platform/prod"}
GROUPS = {"gpuNodes": {"kind": "eksNodeGroups", "groups": [{}]}}
S3 = {"kind": "s3", "uri": "s3://bucket-of-models/prefix"}
AUTO_MODE = ("eks.amazonaws.com/v1", "nodeclasses")


def found(
    check: Callable[[Settings, Any], Iterable[Problem]], api: Api, **raw: Any
) -> list[Problem]:
    settings = Settings.model_validate({"platform": PLATFORM, **raw})
    return list(check(settings, ClusterReader(api)))  # pyright: ignore[reportArgumentType]


def stack(identity: str = "podIdentity", **triton: Any) -> dict[str, Any]:
    return {"inference": [{"triton": {"modelRepository": {**S3, "identity": identity}, **triton}}]}


def daemon_set(name: str, *arguments: str, image: str = "image") -> Json:
    container = {"name": name, "image": image, "args": list(arguments)}
    metadata = {"name": name, "namespace": "kube-system"}
    return {"metadata": metadata, "spec": {"template": {"spec": {"containers": [container]}}}}


def running(*daemon_sets: Json, served: Iterable[tuple[str, str]] = ()) -> Api:
    return Api(lists={"/daemonsets": list(daemon_sets)}, served=served)


IDENTITY = daemon_set("eks-pod-identity-agent")
MONITORING = daemon_set("eks-node-monitoring-agent")
CNI_ON = daemon_set("aws-node", "--enable-ipv6=false", "--enable-network-policy=true")
CNI_OFF = daemon_set("aws-node", "--enable-ipv6=false", "--enable-network-policy=false")


def test_models_in_s3_without_the_identity_agent_are_refused():
    (problem,) = found(eks, running(), **stack())
    assert problem.severity == "refuse"
    assert "DaemonSet eks-pod-identity-agent" in problem.reason
    assert problem.keys == {"inference[0].triton.modelRepository.identity": "podIdentity"}
    assert "--addon-name eks-pod-identity-agent" in problem.fix
    assert found(eks, running(IDENTITY), **stack()) == []
    assert found(eks, running(), **stack("irsa")) == []
    assert found(eks, running()) == []


def test_auto_mode_has_the_identity_agent_on_its_own_nodes_alone():
    auto = running(served=[AUTO_MODE])
    assert found(eks, auto, **stack()) == []
    severities = {problem.severity for problem in found(eks, auto, **GROUPS, **stack())}
    assert "refuse" in severities


@pytest.mark.parametrize(
    ("daemon_sets", "warned"),
    [
        ([CNI_OFF], True),
        ([daemon_set("aws-node")], True),
        ([CNI_ON], False),
        ([CNI_OFF, daemon_set("calico-node")], False),
        ([CNI_OFF, daemon_set("cilium")], False),
        ([], False),
    ],
    ids=["off", "no agent", "on", "calico", "cilium", "another CNI"],
)
def test_a_vpc_cni_that_enforces_no_policy_is_warned_of(daemon_sets, warned):
    problems = found(eks, running(*daemon_sets))
    assert [problem.severity for problem in problems] == ["warn"] * warned
    assert all("enforces no NetworkPolicy" in problem.reason for problem in problems)


def test_node_groups_without_the_monitoring_agent_are_warned_of():
    (problem,) = found(eks, running(), **GROUPS)
    assert (problem.severity, problem.keys) == ("warn", {"gpuNodes.kind": "eksNodeGroups"})
    assert "keeps one whose GPU fails" in problem.reason
    assert found(eks, running(MONITORING), **GROUPS) == []
    assert found(eks, running()) == []


def test_daemon_sets_that_the_user_may_not_list_are_no_finding_but_a_note():
    reader = ClusterReader(Api(lists={"/daemonsets": None}))  # pyright: ignore[reportArgumentType]
    settings = Settings.model_validate({"platform": PLATFORM, **GROUPS, **stack()})
    assert list(eks(settings, reader)) == []
    (note,) = reader.unreadable(settings.platform)
    assert "DaemonSets of all namespaces" in note.reason


EXPOSED = {
    "inference": [
        {
            "gateway": {
                "exposure": {
                    "kind": "internalLoadBalancer",
                    "sourceCidrs": ["10.0.0.0/8"],
                    "subnetCidrs": ["10.0.0.0/16"],
                }
            }
        }
    ]
}
CONTROLLER = {
    "metadata": {"name": "aws-load-balancer-controller"},
    "spec": {"template": {"spec": {"containers": []}}},
    "status": {"readyReplicas": 2},
}


def controller(*webhooks: str) -> Api:
    configuration = {"webhooks": [{"name": name} for name in webhooks]}
    lists: dict[str, list[Json] | None] = {
        "/deployments": [CONTROLLER],
        "/mutatingwebhookconfigurations": [configuration],
    }
    return Api(lists=lists, served=[("elbv2.k8s.aws/v1beta1", "targetgroupbindings")])


@pytest.mark.parametrize(("tier", "severity"), [("staging", "warn"), ("prod", "refuse")])
def test_a_balancer_whose_pods_get_no_readiness_gate_is_named(tier, severity):
    (problem,) = found(balancer, controller("mservice.elbv2.k8s.aws"), tier=tier, **EXPOSED)
    assert problem.severity == severity
    assert "no webhook mpod.elbv2.k8s.aws" in problem.reason
    assert found(balancer, controller("mpod.elbv2.k8s.aws"), tier=tier, **EXPOSED) == []
    assert found(balancer, controller(), tier=tier) == []


def volume(name: str, provisioner: str, *drivers: str) -> Api:
    answers = {f"/csidrivers/{driver}": (200, {"metadata": {"name": driver}}) for driver in drivers}
    storage_class = {"metadata": {"name": name}, "provisioner": provisioner}
    return Api(answers, {"/storageclasses": [storage_class]})


def with_volume(storage_class: str) -> dict[str, Any]:
    claim = {"sizeGib": 1, "storageClass": storage_class}
    return {"prometheus": {"kind": "managed", "persistentVolume": claim}}


@pytest.mark.parametrize("provisioner", ["ebs.csi.aws.com", "kubernetes.io/aws-ebs"])
def test_a_class_of_ebs_needs_its_driver(provisioner):
    (problem,) = found(storage, volume("gp3", provisioner), **with_volume("gp3"))
    assert problem.severity == "refuse"
    assert "StorageClass gp3 needs the EBS CSI driver" in problem.reason
    assert "aws-ebs-csi-driver" in problem.fix
    installed = volume("gp3", provisioner, "ebs.csi.aws.com")
    assert found(storage, installed, **with_volume("gp3")) == []


@pytest.mark.parametrize("provisioner", ["ebs.csi.eks.amazonaws.com", "rancher.io/local-path"])
def test_a_class_of_another_provisioner_needs_no_driver_of_ebs(provisioner):
    assert found(storage, volume("fast", provisioner), **with_volume("fast")) == []


def existing(*, grows: bool) -> Api:
    """Prometheus's claim of 20 GiB, as an earlier `up` has left it."""
    spec = {"storageClassName": "gp3", "resources": {"requests": {"storage": "20Gi"}}}
    answers = {
        "/persistentvolumeclaims/prometheus-server": (200, {"spec": spec}),
        "/storageclasses/gp3": (200, {"allowVolumeExpansion": grows}),
    }
    return Api(answers)


@pytest.mark.parametrize(
    ("stated", "reason", "fix"),
    [
        ({"storageClass": "io2"}, "moves no volume to another class", "storageClass to gp3, or"),
        ({"sizeGib": 10}, "Kubernetes shrinks no volume", "sizeGib to 20, or"),
        ({"sizeGib": 30}, "StorageClass gp3 does not allow volumes to grow", "kubectl patch"),
    ],
    ids=lambda stated: "-".join(stated) if isinstance(stated, dict) else "",
)
def test_a_change_of_a_claim_that_the_api_server_refuses_is_refused_first(stated, reason, fix):
    """The refusals of a real one are in `test_eks_stacks.py`."""
    volume = {"sizeGib": 20, "storageClass": "gp3", **stated}
    parameters = {"prometheus": {"kind": "managed", "persistentVolume": volume}}
    (problem,) = found(storage, existing(grows=False), **parameters)
    assert problem.severity == "refuse"
    assert problem.keys == {f"prometheus.persistentVolume.{k}": v for k, v in stated.items()}
    assert reason in problem.reason
    assert fix in problem.fix
    assert "observability delete deployment,persistentvolumeclaim prometheus-server" in problem.fix


@pytest.mark.parametrize("stated", [{}, {"storageClass": None}, {"sizeGib": 30}])
def test_a_claim_that_stays_or_may_grow_is_no_problem(stated):
    volume = {"sizeGib": 20, "storageClass": "gp3", **stated}
    parameters = {"prometheus": {"kind": "managed", "persistentVolume": volume}}
    assert found(storage, existing(grows=True), **parameters) == []


def claimed(status: str, *classes: str) -> Api:
    claim = {
        "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "efs"},
        "status": {"phase": status},
    }
    answers = {"/persistentvolumeclaims/models": (200, claim)}
    answers |= {f"/storageclasses/{name}": (200, {"metadata": {"name": name}}) for name in classes}
    return Api(answers)


def test_a_claim_that_waits_for_a_class_that_does_not_exist_is_refused():
    repository = {"modelRepository": {"kind": "pvc", "claim": "models"}}
    parameters = {"inference": [{"triton": repository}]}

    def of(api: Api) -> list[Problem]:
        return found(lambda settings, reader: claims(settings, "prod", reader), api, **parameters)

    (problem,) = of(claimed("Pending"))
    assert problem.severity == "refuse"
    assert "waits for a volume of StorageClass efs" in problem.reason
    assert of(claimed("Pending", "efs")) == []
    # A claim that the user bound by hand names a class that need not exist.
    assert of(claimed("Bound")) == []


OPERATOR = ("nvidia.com/v1", "clusterpolicies")


@pytest.mark.parametrize(
    ("device_plugin", "refused"),
    [({}, True), ({"enabled": True}, True), ({"enabled": False}, False)],
)
def test_a_gpu_operator_that_brings_a_device_plugin_is_no_place_for_a_second(
    device_plugin, refused
):
    """Also before its first GPU node, when it has created no DaemonSet."""
    policy = {"metadata": {"name": "cluster-policy"}, "spec": {"devicePlugin": device_plugin}}
    api = Api(lists={"/clusterpolicies": [policy]}, served=[OPERATOR])
    said = [problem for problem in found(gpus, api, devicePlugin={"enabled": True})
            if problem.severity == "refuse"]  # fmt: skip
    assert len(said) == refused
    for problem in said:
        assert "GPU Operator's ClusterPolicy cluster-policy" in problem.reason
        assert problem.change == {"devicePlugin.enabled": False}
