"""The tools that the project runs tell the versions that the table states.

Not shown for the Kubernetes provider, which has no command that tells: that Pulumi accepts it under
the version it asks for is shown by every stack that is provisioned.
"""

import pytest
import yaml

from toolchain.api import ensure
from toolchain.model import Tool
from toolchain.resolve import version_of
from toolchain.table import TABLE

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
