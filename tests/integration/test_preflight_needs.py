"""Preflight on a real API server: storage, GPUs, DNS and rules that the parameters need.

The rules are the API server's own (LimitRange, admission policies in CEL); a webhook's answer comes
the same way. No cloud's controller, DNS or device plugin runs here: their objects stand for them.
"""

from contextlib import contextmanager

import pytest
import yaml

from components.common.labels import DEVICE_PLUGIN, namespace_labels
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import STACK, api_of, token_of, with_user

NAMESPACES = "/api/v1/namespaces"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
AI = "ai-namespace"


@pytest.fixture(scope="module")
def api(bare_cluster):
    """The cluster, as its administrator."""
    with api_of(yaml.safe_load(bare_cluster.kubeconfig.read_text())) as asked:
        yield asked


@contextmanager
def objects(api):
    """Make objects, which go at the end."""
    made = []

    def make(path, body, group_version="v1"):
        answer = api.send("POST", path, {"apiVersion": group_version, **body})
        assert answer.ok, answer.text
        made.append(f"{path}/{body['metadata']['name']}")
        return answer.body

    yield make
    for path in reversed(made):
        api.send("DELETE", f"{path}?propagationPolicy=Foreground")
    for path in reversed(made):
        wait_until(f"{path} is gone", lambda path=path: api.ask("GET", path) == {}, 60)


@pytest.fixture
def put(api):
    """Make objects for the length of a test."""
    with objects(api) as make:
        yield make


@pytest.fixture(scope="module")
def namespace(api):
    """The inference stack's namespace, as an earlier `up` has left it."""
    with objects(api) as make:
        make(NAMESPACES, {"metadata": {"name": AI, "labels": namespace_labels(STACK)}})
        # Pods need their namespace's account.
        account = f"{NAMESPACES}/{AI}/serviceaccounts/default"
        wait_until("it has an account", lambda: api.ask("GET", account), 60)
        yield f"{NAMESPACES}/{AI}"


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

    def claim(self, put, namespace, mode, volume=None):
        spec = {
            "accessModes": [mode],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
            **({"volumeName": volume} if volume else {}),
        }
        put(f"{namespace}/persistentvolumeclaims", {"metadata": {"name": "models"}, "spec": spec})

    def test_a_volume_of_one_node_does_not_serve_a_fleet(self, put, namespace, found, document):
        self.claim(put, namespace, "ReadWriteOnce")
        (message,) = found(document, inference=self.STACKS)
        assert "PersistentVolumeClaim models (ReadWriteOnce) can be mounted by one node" in message
        assert "21 replicas are spread over 6 nodes" in message
        assert "ReadOnlyMany or ReadWriteMany" in message
        one = {"autoscaler": {"minReplicas": 1, "maxReplicas": 1}}
        stacks = [{**self.STACKS[0], **one}]
        assert found(document, inference=stacks, gpuNodes={"maxSize": 1}) == []

    def test_a_volume_of_one_pod_neither(self, put, namespace, found, document):
        self.claim(put, namespace, "ReadWriteOncePod")
        (message,) = found(document, inference=self.STACKS, gpuNodes={"maxSize": 6})
        assert "(ReadWriteOncePod) can be mounted by one pod at a time" in message

    def test_a_volume_that_is_never_attached_is_not_held_to_one_node(
        self, put, namespace, found, document
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
        self.claim(put, namespace, "ReadWriteOnce", "models")
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
        assert "EKS Auto Mode's own serves the class eks.amazonaws.com/nlb alone" in message
        served("targetgroupbindings", "TargetGroupBinding", "elbv2.k8s.aws", "v1beta1")
        assert found(document, inference=self.EXPOSED) == []
        said = found(document, inference=self.EXPOSED, severity="warn")
        assert any("Controller does not run as a Deployment" in message for message in said)
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
        assert "6 nodes make their GPUs known by themselves" in warned
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
        (message,) = found(document, gpuNodes={"taint": {"key": "example.com/gpu"}})
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
    def quota(put, namespace, **hard):
        body = {"metadata": {"name": "team"}, "spec": {"hard": hard}}
        put(f"{namespace}/resourcequotas", body)

    def test_one_that_is_too_small_for_the_smallest_fleet(self, put, namespace, found, document):
        self.quota(put, namespace, **{"requests.nvidia.com/gpu": "1", "pods": "100"})
        (message,) = found(document)
        assert "ResourceQuota team of ai-namespace is too small for the smallest fleet" in message
        assert "requests.nvidia.com/gpu 1 of 21 asked for" in message
        assert "pods 100" not in message

    def test_one_that_is_too_small_for_the_largest(self, put, namespace, found, document):
        self.quota(put, namespace, **{"requests.memory": "64Gi"})
        assert found(document) == []
        said = found(document, severity="warn")
        (message,) = (message for message in said if "ResourceQuota" in message)
        assert "is too small for the largest fleet: it allows requests.memory 64Gi of" in message


class TestAdmission:
    @staticmethod
    def limits(put, namespace, **limit):
        spec = {"limits": [{"type": "Container", **limit}]}
        put(f"{namespace}/limitranges", {"metadata": {"name": "team"}, "spec": spec})

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

    def test_defaults_of_a_limit_range_are_told_by_name(self, put, namespace, found, document):
        self.limits(put, namespace, default={"cpu": "4"}, defaultRequest={"cpu": "100m"})
        said = self.until(found, document, "warn", "limits.cpu")
        assert any(
            "changes the gateway's pods in ai-namespace: envoy.resources.limits.cpu is 4, not unset"
            in message
            for message in said
        )

    def test_pods_beyond_a_limit_range_are_refused_in_the_api_servers_words(
        self, put, namespace, found, document
    ):
        self.limits(put, namespace, max={"memory": "1Gi"})
        (message,) = self.until(found, document, "refuse", "maximum memory")
        assert "refuses Triton's pods in ai-namespace:" in message
        assert "maximum memory usage per Container is 1Gi" in message

    @pytest.mark.usefixtures("namespace")
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
        # Pods whose namespace is not there yet are tried in another one, where other rules hold.
        said = found(document, severity="warn")
        assert any(
            "refuses Prometheus' pods in default (tried there, because observability is not"
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

    @pytest.mark.usefixtures("namespace")
    def test_a_policy_that_changes_pods_is_told_by_name(self, put, found, document, api):
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
            for text in ("it adds containers", "more rights")
        )
        assert (
            "changes the gateway's pods in ai-namespace: it adds containers sidecar (sidecar:1)"
            in changed
        )
        assert "envoy.image is mirror.example/envoy:1, not " in changed
        assert "envoy.securityContext.readOnlyRootFilesystem is False, not True" in weakened


def test_what_could_not_be_seen_is_said(bare_cluster, document, found):
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
