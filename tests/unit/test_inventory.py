"""A part that is declared once is known to everything that reads the inventory."""

from collections.abc import Iterator

import pytest

from components.cluster.permissions import VERBS, WATCH_VERBS, required
from config import inventory
from config.checks import names, platform, production
from config.flows import Flow, Pods, gateway_pods, prometheus_pods
from config.inventory import parts
from config.part import ApiResource, Part
from config.settings import Settings
from config.sizing import packing
from config.sizing.packing import Room
from ops.stack.cluster_spec import cluster_spec
from tests.unit.whole_program import run

LABELS = {"app": "quota"}
IMAGE = {"quota.image": "example.com/quota"}
STATEFUL_SET = ApiResource("apps", "statefulsets", "quota")
PODS = ApiResource("", "pods", "quota")
ROUTES = ApiResource("", "endpoints", "quota")


def quota(settings: Settings) -> Iterator[Part]:
    """Declare a service that every gateway asks and Prometheus scrapes."""
    pods = Pods("quota", LABELS)
    yield Part(
        key="quota",
        title="the quota service",
        namespace="quota",
        namespace_key="quota.namespace",
        images=IMAGE,
        cpu_pods=packing.Pods(1, Room(7.5, 64, 64)),
        resources=(STATEFUL_SET,),
        watched=(ROUTES,),
        granted=((PODS, ("get",)),),
        flows=(
            *(Flow(gateway_pods(stack), pods, (6379,)) for stack in settings.inference),
            Flow(prometheus_pods(settings.prometheus), pods, (9121,)),
        ),
    )


@pytest.fixture
def registered(monkeypatch):
    """Register the stand-in part at the one place for shared parts."""
    monkeypatch.setattr(inventory, "SHARED", (*inventory.SHARED, quota))


def policies(program):
    """Return the spec of every NetworkPolicy, by its namespace and name."""
    made = [r.inputs for r in program.all("networking.k8s.io/v1:NetworkPolicy")]
    return {(p["metadata"]["namespace"], p["metadata"]["name"]): p["spec"] for p in made}


def test_the_program_makes_its_namespace_and_opens_the_callers_ends_of_its_connections(request):
    before = policies(run({}))
    request.getfixturevalue("registered")
    program = run({})
    namespace = program.one("kubernetes:core/v1:Namespace", "quota")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    after = policies(program)
    assert after.pop(("quota", "default-deny")) == before["ai-namespace", "default-deny"]
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "quota"}},
        "podSelector": {"matchLabels": LABELS},
    }
    for caller, port in (
        (("ai-namespace", "envoy-gateway"), 6379),
        (("observability", "prometheus-server"), 9121),
    ):
        row = {"to": [peer], "ports": [{"protocol": "TCP", "port": port}]}
        assert after[caller]["egress"].pop() == row
    # No other policy is touched, and these two in nothing else.
    assert after == before


@pytest.mark.usefixtures("registered")
def test_preflight_asks_for_its_permissions():
    needed = required(Settings())
    assert needed[STATEFUL_SET] == VERBS
    assert needed[ApiResource("networking.k8s.io", "networkpolicies", "quota")] == VERBS
    assert needed[ROUTES] == WATCH_VERBS
    assert needed[PODS] == ("get",)


@pytest.mark.usefixtures("registered")
def test_checks_and_the_local_cluster_know_its_images():
    settings = Settings(tier="prod")
    assert IMAGE.items() <= cluster_spec(settings).images.items()
    (unpinned,) = production.image_tags.run(settings)
    assert unpinned.keys == {"tier": "prod", **IMAGE}


@pytest.mark.usefixtures("registered")
def test_checks_keep_its_namespace_apart():
    raw = {"prometheus": {"kind": "managed", "namespace": "quota"}}
    (shared,) = names.namespaces.run(Settings.model_validate(raw))
    assert shared.keys == dict.fromkeys(("prometheus.namespace", "quota.namespace"), "quota")


@pytest.mark.usefixtures("registered")
def test_the_cpu_nodes_of_the_local_cluster_must_hold_its_pods():
    small = {"platform": {"kind": "local", "cpuNodeCpu": 7}}
    found = platform.local_nodes.run(Settings.model_validate(small))
    assert any("the quota service does not fit" in problem.reason for problem in found)


def test_keys_are_unique_and_every_part_has_a_namespace():
    stacks = [{"namePrefix": "a-"}, {"namePrefix": "b-"}]
    made = list(parts(Settings.model_validate({"inference": stacks})))
    assert len({part.key for part in made}) == len(made) == 3 + 2 * 3
    assert all(part.namespace for part in made)
