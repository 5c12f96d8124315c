"""Mirrors, credentials and the domain in all sections; not that a mirror has the images."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from config.inventory import images
from config.load import Refused, parse
from config.sections.images import Images
from tests.unit.whole_program import STACKS, config_of, declared_by, kubernetes_objects, run

HOSTS = ("docker.io", "nvcr.io", "quay.io", "public.ecr.aws", "ghcr.io")
MIRROR = "registry.example.com:5000/mirror"
STATED: dict[str, Any] = {
    "mirrors": {host: f"{MIRROR}/{host.partition('.')[0]}" for host in HOSTS},
    "pullSecrets": ["registry"],
}


@pytest.mark.parametrize(
    ("image", "there"),
    [
        ("docker.io/envoyproxy/envoy:v1", "m.example.com/hub/envoyproxy/envoy:v1"),
        ("envoyproxy/envoy:v1", "m.example.com/hub/envoyproxy/envoy:v1"),
        ("busybox@sha256:" + "0" * 64, "m.example.com/hub/library/busybox@sha256:" + "0" * 64),
        ("quay.io/prometheus/prometheus:v3", "quay.io/prometheus/prometheus:v3"),
        ("localhost/x:1", "localhost/x:1"),
        ("host:5000/x:1", "host:5000/x:1"),
    ],
)
def test_an_image_keeps_its_path_tag_and_digest_in_a_mirror(image: str, there: str):
    assert Images(mirrors={"docker.io": "m.example.com/hub"}).mirrored(image) == there


def pods(stated: Any) -> list[dict[str, Any]]:
    """Every mapping with containers."""
    if isinstance(stated, list):
        return [pod for item in stated for pod in pods(item)]
    if not isinstance(stated, dict):
        return []
    here = [stated] if "containers" in stated else []
    return here + [pod for item in stated.values() for pod in pods(item)]


@pytest.mark.parametrize("stack", ["staging", "prod"])
def test_every_pod_of_the_program_pulls_from_the_mirrors_with_the_credentials(stack: str):
    declared = run({**config_of(stack), "images": STATED}, stack)
    found = [pod for r in kubernetes_objects(declared) for pod in pods(r.inputs)]
    plain = [pod for r in kubernetes_objects(declared_by(stack)) for pod in pods(r.inputs)]
    assert len(found) == len(plain) > 1
    for pod in found:
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["image"].startswith(f"{MIRROR}/")


def test_the_chart_pulls_from_the_mirror_with_the_credentials():
    declared = run({**config_of("staging"), "images": STATED}, "staging")
    values = declared.one("kubernetes:helm.sh/v3:Release")["values"]
    assert values["global"] == {"image": {"registry": f"{MIRROR}/ghcr"}}
    assert values["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize("stack", STACKS)
def test_the_inventory_has_the_mirrored_images(stack: str):
    before = images(parse(config_of(stack)))
    after = images(parse({**config_of(stack), "images": STATED}))
    assert after.keys() == before.keys()
    for key, image in after.items():
        if "kubemind.local/" not in image:
            assert image.startswith(f"{MIRROR}/")
            assert image.endswith(re.sub(r"^[^/]*/", "/", before[key]))


def test_the_secrets_of_a_part_come_first_and_once():
    stated = {"pods": {"imagePullSecrets": ["own", "registry"]}}
    settings = parse({"images": STATED, "inference": [{"gateway": stated}]})
    assert settings.inference[0].gateway.pods.image_pull_secrets == ("own", "registry")
    assert settings.inference[0].triton.pods.image_pull_secrets == ("registry",)


@pytest.mark.parametrize(
    "mirrors",
    [
        {"docker.io": "docker.io/mirror"},
        {"docker.io": "quay.io/hub", "quay.io": "example.com"},
        {"docker.io/library": "example.com"},
        {"docker.io": "https://example.com"},
        {"docker.io": "example.com/"},
    ],
)
def test_a_mirror_that_no_image_could_name_is_refused(mirrors: dict[str, str]):
    with pytest.raises(ValidationError):
        Images(mirrors=mirrors)
    with pytest.raises(Refused):
        parse({"images": {"mirrors": mirrors}})


def test_every_name_of_a_service_ends_in_the_clusters_domain():
    platform = {"kind": "kubeconfig", "path": "kubeconfig", "clusterDomain": "example.org"}
    settings = parse({"platform": platform})
    (stack,) = settings.inference
    hosts = (stack.gateway_host, stack.service_host, stack.discovery_host)
    for name in (*hosts, settings.prometheus.address):
        assert ".svc.example.org" in name
    (plain,) = parse({}).inference
    assert plain.service_host.endswith(".svc.cluster.local")
