"""KEDA's official chart installed as a Helm release by the real provider, on a real API server.

The cluster is simulated: its pods run no containers. Not proved here: that the chart's operator
works with the rights that it is left with; the serving cluster runs the same operator.
"""

from pathlib import Path

from components.common.labels import PART_OF, PART_OF_LABEL
from components.monitoring.scrape import KEDA_OPERATOR
from config.sections.keda import METRICS_PORT
from config.selectors import NAME_LABEL
from tests.integration.checkout import Checkout

RELEASE = "kubernetes:helm.sh/v3:Release::keda-release"
SCALER = "kubernetes:keda.sh/v1alpha1:ScaledObject::inference-autoscaler-scaled-object"
SCALED_OBJECT = ("-n", "ai-namespace", "get", "scaledobject", "triton-inference-scaler")


def test_keda_is_previewed_installed_from_the_stated_repository_and_removed_after_the_scaler(
    empty: Checkout, chart_repository: str, tmp_path: Path
) -> None:
    empty.delete_definitions("-l", "kubemind.io/content")
    assert "scaledobjects" not in empty.kubectl("get", "crd", "-o", "name").ok().stdout
    empty.set_config(keda={"kind": "helm", "repository": chart_repository})
    home = {f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    empty.env.backend_dir.mkdir(parents=True, exist_ok=True)
    # Bare pulumi: make would put KEDA's definitions back into the local cluster first.
    empty.pulumi("stack", "select", "dev", "--create").ok()
    # As before every `up` outside dev, where the scaler's kind is still to come with the release.
    steps = empty.preview_steps(env=home)
    assert steps.keys() >= {RELEASE, SCALER}
    assert set(steps.values()) == {"create"}
    empty.pulumi("up", "--yes", "--skip-preview", env=home).ok()
    empty.kubectl(*SCALED_OBJECT).ok()
    releases = empty.kubectl("-n", "keda", "get", "secret", "-l", "owner=helm", "-o", "name")
    assert "sh.helm.release" in releases.ok().stdout
    account = "--as=system:serviceaccount:keda:keda-operator"

    def may(verb: str, thing: str, namespace: str, *more: str) -> str:
        asked = ("-n", namespace, "auth", "can-i", verb, thing, *more, account)
        return empty.kubectl(*asked).stdout.strip()

    allowed = {
        question: may(*question)
        for question in (
            ("get", "secrets", "keda"),
            ("get", "secrets", "kube-system"),
            ("list", "secrets", "ai-namespace"),
            ("get", "configmaps", "ai-namespace"),
            ("update", "deployments.apps", "ai-namespace", "--subresource=scale"),
        )
    }
    assert allowed == {
        ("get", "secrets", "keda"): "yes",
        ("get", "secrets", "kube-system"): "no",
        ("list", "secrets", "ai-namespace"): "no",
        ("get", "configmaps", "ai-namespace"): "yes",
        ("update", "deployments.apps", "ai-namespace", "--subresource=scale"): "yes",
    }
    # What the managed Prometheus looks for: the label of the pod, and the port of its metrics.
    selector = f"{NAME_LABEL}={KEDA_OPERATOR}"
    path = "{.items[*].spec.template.spec.containers[*].ports[*].containerPort}"
    read = ("get", "deployments", "-l", selector, "-o", f"jsonpath={path}")
    assert str(METRICS_PORT) in empty.kubectl("-n", "keda", *read).ok().stdout.split()
    empty.pulumi("destroy", "--yes", "--skip-preview", env=home).ok()
    left = empty.kubectl("-n", "keda", "get", "secrets,deployments", "-o", "name").ok().stdout
    assert left == ""
    # Bare `pulumi destroy` leaves the namespaces.
    empty.kubectl("delete", "namespace", "-l", f"{PART_OF_LABEL}={PART_OF}").ok()
    # A release leaves its definitions behind: they are taken away, and the cluster's own come back.
    empty.delete_definitions()
