"""The Helm release of KEDA; not that the chart installs."""

import pytest

from components.autoscaler.keda import KedaRelease, KedaReleaseArgs
from config.sections.keda import METRICS_PORT, RELEASE_NAME, HelmKeda
from config.versions import KEDA_CHART_VERSION

RELEASE = "kubernetes:helm.sh/v3:Release"


@pytest.fixture
def declared(declare):
    def build(**parameters):
        config = HelmKeda(kind="helm", **parameters)
        return declare(lambda: KedaRelease("keda", KedaReleaseArgs(config=config)))

    return build


def test_the_official_chart_is_pinned(declared):
    release = declared().one(RELEASE)
    assert release["chart"] == "keda"
    assert release["version"] == KEDA_CHART_VERSION
    assert release["repositoryOpts"] == {"repo": "https://kedacore.github.io/charts"}
    assert release["name"] == RELEASE_NAME
    assert release["namespace"] == "keda"


def test_a_mirror_another_version_and_another_namespace_do_too(declared):
    release = declared(
        repository="https://charts.example.com", chart_version="2.20.0", namespace="scaling"
    ).one(RELEASE)
    assert release["repositoryOpts"] == {"repo": "https://charts.example.com"}
    assert release["version"] == "2.20.0"
    assert release["namespace"] == "scaling"


def test_keda_reads_no_secrets_of_others(declared):
    values = declared().one(RELEASE)["values"]
    assert {part["restrict"]["secret"] for part in values["permissions"].values()} == {True}
    assert values["rbac"] == {"enabledCustomScaledRefKinds": False}


def test_its_operator_shows_the_metrics_that_a_managed_prometheus_scrapes(declared):
    """tests/integration/test_helm.py shows that the chart opens the port for it."""
    operator = declared().one(RELEASE)["values"]["prometheus"]["operator"]
    assert operator == {"enabled": True, "port": METRICS_PORT}


def test_a_failed_install_leaves_nothing_behind(declared):
    assert declared().one(RELEASE)["atomic"] is True


def test_identities_are_frozen(declared):
    """A changed line installs a second KEDA: add an alias in place of editing it."""
    assert declared().identities == [
        f"kubemind:index:KedaRelease${RELEASE}::keda-release",
        "kubemind:index:KedaRelease::keda",
    ]
