"""The baseline's own text: a run changes its stated differences and nothing else."""

import hashlib
from typing import Any

import pytest
import yaml

from bench.baseline.documents import (
    AS_WRITTEN,
    FOLDER,
    PROXY,
    REPAIRED,
    SCALER,
    VARIANTS,
    Variant,
    differences,
    read,
)
from bench.baseline.workloads import NAMESPACE, Parts
from components.autoscaler.queries import in_flight
from components.gateway.envoy.stats import cluster_selector
from components.state.content_names import referenced
from config.load import parse, read_stack_file
from config.sections.prometheus import ExistingPrometheus
from ops.errors import OpsError
from ops.stack.environment import PROJECT

DIGESTS = {
    PROXY: "c5574a70ef02586801b54e0abde35c2ae86892b183b516365edb029f1a0db7e3",
    SCALER: "2d742e0e562ca91372cf510d423d7a3bde27b70f9ff6638c28b357a4bebe64f7",
}

SETTINGS = parse(read_stack_file(PROJECT / "Pulumi.dev.yaml"), source="dev")
PARTS = Parts.of(SETTINGS)


def found(variant: Variant, kind: str, name: str) -> Any:
    (manifest,) = (
        manifest
        for manifest in PARTS.manifests(variant)
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    )
    return manifest


def leaves(document: Any, place: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    if not isinstance(document, dict | list):
        return {place: document}
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    return {k: v for key, value in pairs for k, v in leaves(value, (*place, key)).items()}


@pytest.mark.parametrize("file", [PROXY, SCALER])
def test_the_baselines_text_is_kept_word_for_word(file: str) -> None:
    """Compare checksums; that the pinned checksums are of the original text is not shown."""
    assert hashlib.sha256((FOLDER / file).read_bytes()).hexdigest() == DIGESTS[file]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_nothing_differs_but_what_is_stated(variant: Variant) -> None:
    """Not shown: that a stated difference is needed; each says why."""
    stated = differences(variant, PARTS.stack, PARTS.prometheus)
    for file in (PROXY, SCALER):
        before, after = leaves(read(file)), leaves(read(file, stated))
        changed = {place for place in before | after if before.get(place) != after.get(place)}
        places = [d.place for d in stated if d.file == file]
        for place in changed:
            assert any(place[: len(allowed)] == allowed for allowed in places), place
        for allowed in places:
            assert any(place[: len(allowed)] == allowed for place in changed), allowed
    assert all(difference.why for difference in stated)


def test_the_baselines_scaler_is_the_one_that_is_applied() -> None:
    """Not shown: what KEDA makes of it, which the serving tests show."""
    spec = found(AS_WRITTEN, "ScaledObject", "triton-inference-scaler")["spec"]
    scaler = PARTS.stack.autoscaler
    assert spec["triggers"][0]["metadata"]["query"] == in_flight(
        cluster_selector(PARTS.stack.envoy_cluster)
    )
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    assert (scaler.min_replicas, scaler.max_replicas) == (2, 20)
    assert "advanced" not in spec
    assert "advanced" in found(REPAIRED, "ScaledObject", "triton-inference-scaler")["spec"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_config_map_that_a_pod_mounts_is_applied(variant: Variant) -> None:
    manifests = PARTS.manifests(variant)
    deployments = [one for one in manifests if one["kind"] == "Deployment"]
    applied = {one["metadata"]["name"] for one in manifests if one["kind"] == "ConfigMap"}
    assert len(deployments) == 3
    assert referenced(deployments) == applied


def test_the_service_is_an_address_of_its_own_as_written_and_headless_when_repaired() -> None:
    """Either way the port that the gateway asks for leads to Triton's. Not shown: that it does."""
    ports = {}
    for variant in VARIANTS:
        service = found(variant, "Service", "ai-inference-service")["spec"]
        assert (service.get("clusterIP") == "None") is variant.repaired
        proxy = yaml.safe_load(found(variant, "ConfigMap", "envoy-gateway")["data"][PROXY])
        (cluster,) = proxy["static_resources"]["clusters"]
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        assert address["address"] == f"ai-inference-service.{NAMESPACE}.svc.cluster.local"
        ports[variant.name] = address["port_value"]
    assert ports == {"seed-as-written": 9000, "seed-repaired": PARTS.stack.triton.grpc_port}


def test_everything_is_in_the_namespace_that_goes_in_the_end() -> None:
    """Not shown: that it goes."""
    first, *others = PARTS.manifests(AS_WRITTEN)
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", NAMESPACE)
    assert {manifest["metadata"]["namespace"] for manifest in others} == {NAMESPACE}
    assert NAMESPACE not in {stack.namespace for stack in SETTINGS.inference}


def test_a_stack_without_a_prometheus_of_its_own_is_refused() -> None:
    """Not shown: how it would be scraped then."""
    elsewhere = ExistingPrometheus(kind="existing", address="http://p", namespace="p")
    with pytest.raises(OpsError, match="managed Prometheus"):
        Parts.of(SETTINGS.model_copy(update={"prometheus": elsewhere}))
