"""Preflight on a real API server: storage, GPUs, DNS and rules that the parameters need.

The rules are the API server's own (LimitRange, admission policies in CEL); a webhook's answer comes
the same way. No cloud's controller, DNS or device plugin runs here: their objects stand for them.
"""

import pytest

from components.common.labels import namespace_labels
from config.selectors import DEVICE_PLUGIN
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import STACK

NAMESPACES = "/api/v1/namespaces"
AI = "ai-namespace"


@pytest.fixture
def served(api, put):
    """Make a CustomResourceDefinition, and wait until it is served."""

    def make(plural, kind, group, version="v1"):
        names = {"plural": plural, "singular": kind.lower(), "kind": kind}
        schema = {"openAPIV3Schema": {"type": "object"}}
        versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
        spec = {"group": group, "names": names, "scope": "Cluster", "versions": versions}
        put(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            {
                "kind": "CustomResourceDefinition",
                "metadata": {
                    "name": f"{plural}.{group}",
                    # Groups of Kubernetes' own domain are held to a review.
                    "annotations": {"api-approved.kubernetes.io": "unapproved, test"},
                },
                "spec": spec,
            },
            "apiextensions.k8s.io/v1",
        )
        wait_until("it is served", lambda: api.serves(f"{group}/{version}", plural), 60)

    return make


def workload(name, image, *arguments, **labels):
    labels = {"app": name, **labels}
    container = {"name": name, "image": image, "args": list(arguments)}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


class TestStorage:
    CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

    @staticmethod
    def volume(**stated):
        return {"kind": "managed", "persistentVolume": {"sizeGib": 1, **stated}}

    def gp3(self, put, **annotations):
        driver = {"metadata": {"name": "ebs.csi.aws.com"}, "spec": {"attachRequired": True}}
        put("/apis/storage.k8s.io/v1/csidrivers", driver, "storage.k8s.io/v1")
        metadata = {"name": "gp3", "annotations": annotations}
        body = {"metadata": metadata, "provisioner": "ebs.csi.aws.com"}
        put(self.CLASSES, body, "storage.k8s.io/v1")

    def test_a_class_that_is_not_there_is_named_with_those_there_are(self, put, found, document):
        wanted = self.volume(storageClass="fast")
        (message,) = found(document, prometheus=wanted)
        assert "has no StorageClass fast, and Prometheus would wait" in message
        assert "there are: none" in message
        self.gp3(put)
        (message,) = found(document, prometheus=wanted)
        assert "there are: gp3" in message
        assert found(document, prometheus=self.volume(storageClass="gp3")) == []

    def test_without_a_stated_class_there_must_be_a_default(self, put, found, document):
        (message,) = found(document, prometheus=self.volume())
        assert "has no default StorageClass" in message
        self.gp3(put, **{"storageclass.kubernetes.io/is-default-class": "true"})
        assert found(document, prometheus=self.volume()) == []


class TestClaims:
    STACKS = ({"namespace": AI, "triton": {"modelRepository": {"kind": "pvc", "claim": "models"}}},)

    def claim(self, put, ai_namespace, mode, volume=None):
        spec = {
            "accessModes": [mode],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
            **({"volumeName": volume} if volume else {}),
        }
        put(
            f"{ai_namespace}/persistentvolumeclaims", {"metadata": {"name": "models"}, "spec": spec}
        )

    def test_a_volume_of_one_node_does_not_serve_a_fleet(self, put, ai_namespace, found, document):
        self.claim(put, ai_namespace, "ReadWriteOnce")
        (message,) = found(document, inference=self.STACKS)
        assert "PersistentVolumeClaim models (ReadWriteOnce) can be mounted by one node" in message
        assert "21 replicas are spread over 6 nodes" in message
        assert "ReadOnlyMany or ReadWriteMany" in message
        one = {"autoscaler": {"minReplicas": 1, "maxReplicas": 1}}
        stacks = [{**self.STACKS[0], **one}]
        assert found(document, inference=stacks, gpuNodes={"kind": "existing", "maxSize": 1}) == []

    def test_a_volume_of_one_pod_neither(self, put, ai_namespace, found, document):
        self.claim(put, ai_namespace, "ReadWriteOncePod")
        (message,) = found(
            document, inference=self.STACKS, gpuNodes={"kind": "existing", "maxSize": 6}
        )
        assert "(ReadWriteOncePod) can be mounted by one pod at a time" in message

    def test_a_volume_that_is_never_attached_is_not_held_to_one_node(
        self, put, ai_namespace, found, document
    ):
        """As EFS's: its driver does not attach, so nothing enforces ReadWriteOnce."""
        put(
            "/apis/storage.k8s.io/v1/csidrivers",
            {"metadata": {"name": "efs.csi.aws.com"}, "spec": {"attachRequired": False}},
            "storage.k8s.io/v1",
        )
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "csi": {"driver": "efs.csi.aws.com", "volumeHandle": "fs-1"},
        }
        put("/api/v1/persistentvolumes", {"metadata": {"name": "models"}, "spec": spec})
        self.claim(put, ai_namespace, "ReadWriteOnce", "models")
        assert found(document, inference=self.STACKS) == []


class TestLoadBalancer:
    EXPOSED = (
        {
            "gateway": {
                "exposure": {
                    "kind": "internalLoadBalancer",
                    "sourceCidrs": ["10.0.0.0/8"],
                    "subnetCidrs": ["10.0.0.0/16"],
                }
            }
        },
    )

    def test_without_its_controller_it_is_refused(self, served, put, api, found, document):
        (message,) = found(document, inference=self.EXPOSED)
        assert "has no AWS Load Balancer Controller" in message
        assert "`up` would wait for its address" in message
        served("targetgroupbindings", "TargetGroupBinding", "eks.amazonaws.com")
        (message,) = found(document, inference=self.EXPOSED)
        assert "EKS Auto Mode's own serves only the class eks.amazonaws.com/nlb" in message
        served("targetgroupbindings", "TargetGroupBinding", "elbv2.k8s.aws", "v1beta1")
        assert found(document, inference=self.EXPOSED) == []
        said = found(document, inference=self.EXPOSED, severity="warn")
        assert any("Controller does not run as a Deployment" in message for message in said)
        assert any("no webhook mpod.elbv2.k8s.aws" in message for message in said)
        controller = workload("aws-load-balancer-controller", "aws-load-balancer-controller:v2")
        at = "/apis/apps/v1/namespaces/kube-system/deployments"
        put(at, controller, "apps/v1")
        path = f"{at}/aws-load-balancer-controller"
        wait_until(
            "it is ready", lambda: api.ask("GET", path).get("status", {}).get("readyReplicas"), 60
        )
        said = found(document, inference=self.EXPOSED, severity="warn")
        assert not any("Load Balancer Controller" in message for message in said)


class TestGpus:
    def test_a_second_device_plugin_is_refused(self, put, found, document):
        (warned,) = found(document, severity="warn")
        assert "6 nodes already advertise their GPUs" in warned
        put(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            workload("nvidia-device-plugin-daemonset", "nvcr.io/nvidia/k8s-device-plugin:v0.17"),
            "apps/v1",
        )
        (message,) = found(document)
        assert "nvidia-device-plugin-daemonset in kube-system" in message
        assert "fix: set devicePlugin.enabled to false" in message
        without = {"enabled": False}
        assert found(document, devicePlugin=without) == []
        assert found(document, devicePlugin=without, severity="warn") == []

    def test_our_own_is_no_second_one(self, put, found, document):
        at = "nvidia-device-plugin"
        put(NAMESPACES, {"metadata": {"name": at, "labels": namespace_labels(STACK)}})
        put(
            f"/apis/apps/v1/namespaces/{at}/daemonsets",
            workload(DEVICE_PLUGIN, "nvcr.io/nvidia/k8s-device-plugin:v0.17"),
            "apps/v1",
        )
        assert found(document) == []
        assert found(document, severity="warn") == []

    def test_a_taint_that_is_not_tolerated_on_any_node_is_named(self, found, document):
        (message,) = found(
            document, gpuNodes={"kind": "existing", "taint": {"key": "example.com/gpu"}}
        )
        assert "all 6 nodes with the label nvidia.com/gpu.present=true have a taint" in message
        assert "(nvidia.com/gpu=true:NoSchedule)" in message

    def test_nodes_without_the_label_are_named(self, api, found, document):
        nodes = [f"gpu-{n}" for n in range(6)]

        def label(value):
            patch = {"metadata": {"labels": {"nvidia.com/gpu.present": value}}}
            for node in nodes:
                path, kind = f"/api/v1/nodes/{node}", "application/merge-patch+json"
                assert api.ask("PATCH", path, patch, kind)

        label(None)
        try:
            (message,) = found(document)
        finally:
            label("true")
        assert "6 nodes have GPUs (nvidia.com/gpu), and none has the label" in message
        assert "kubectl label node gpu-0 gpu-1 gpu-2 nvidia.com/gpu.present=true" in message


class TestDns:
    @staticmethod
    def service(put):
        made = put(
            f"{NAMESPACES}/kube-system/services",
            {"metadata": {"name": "kube-dns"}, "spec": {"ports": [{"port": 53}]}},
        )
        return made["spec"]["clusterIP"]

    def test_a_service_that_leads_to_no_pods(self, put, document, found):
        address = self.service(put)
        (message,) = found(document)
        assert f"answers outside pods, at {address}, where the NetworkPolicies" in message
        assert f'fix: set platform.dnsAddresses to ["{address}"]' in message
        assert found(document, dnsAddresses=[address]) == []

    def test_a_service_that_leads_to_pods_needs_no_address(self, put, document, found):
        self.service(put)
        put(
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
            {
                "metadata": {
                    "name": "kube-dns-test",
                    "labels": {"kubernetes.io/service-name": "kube-dns"},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["10.244.0.2"], "targetRef": {"kind": "Pod", "name": "dns"}}
                ],
            },
            "discovery.k8s.io/v1",
        )
        assert found(document) == []

    def test_a_cache_on_every_node(self, put, document, found):
        put(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            workload(
                "node-local-dns",
                "k8s-dns-node-cache",
                *("-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile"),
                **{"k8s-app": "node-local-dns"},
            ),
            "apps/v1",
        )
        (message,) = found(document)
        assert "at 10.96.0.10, 169.254.20.10, where" in message
        (message,) = found(document, dnsAddresses=["169.254.20.10"])
        assert "at 10.96.0.10, where" in message
        assert found(document, dnsAddresses=["169.254.20.10", "10.96.0.0/16"]) == []

    def test_dns_on_the_nodes_of_eks_auto_mode(self, served, api, document, found):
        served("nodeclasses", "NodeClass", "eks.amazonaws.com")
        own = api.ask("GET", f"{NAMESPACES}/default/services/kubernetes")["spec"]["clusterIP"]
        address = f"{own.rpartition('.')[0]}.10"
        (message,) = found(document)
        assert f"answers outside pods, at {address}, where" in message


class TestQuotas:
    @staticmethod
    def quota(put, ai_namespace, **hard):
        body = {"metadata": {"name": "team"}, "spec": {"hard": hard}}
        put(f"{ai_namespace}/resourcequotas", body)

    def test_one_that_is_too_small_for_the_smallest_fleet(self, put, ai_namespace, found, document):
        self.quota(put, ai_namespace, **{"requests.nvidia.com/gpu": "1", "pods": "100"})
        (message,) = found(document)
        assert "ResourceQuota team of ai-namespace is too small for the smallest fleet" in message
        assert "requests.nvidia.com/gpu 1 of 21 requested" in message
        assert "pods 100" not in message

    def test_one_that_is_too_small_for_the_largest(self, put, ai_namespace, found, document):
        self.quota(put, ai_namespace, **{"requests.memory": "64Gi"})
        assert found(document) == []
        said = found(document, severity="warn")
        (message,) = (message for message in said if "ResourceQuota" in message)
        assert "is too small for the largest fleet: it allows requests.memory 64Gi of" in message
