"""`make render` against the cluster that `make up` made, both ways.

`test_stack.py` shows that applying the render would change nothing there.
"""

import json
from pathlib import Path

import yaml

from config.sections.platform import LOCAL_CONTEXT
from ops.render.render import render, server_diff
from ops.validate.schema import identity
from ops.validate.validate import object_files
from tests.integration.checkout import Checkout


def test_a_render_holds_exactly_the_objects_of_the_stack_and_a_change_in_it_is_seen(
    provisioned: Checkout, tmp_path: Path
):
    render("dev", tmp_path, project=provisioned.path)
    files = {identity(yaml.safe_load(file.read_text())): file for file in object_files(tmp_path)}

    state = json.loads(provisioned.pulumi("stack", "export", "--stack", "dev").ok().stdout)
    applied = [
        identity(resource["inputs"])
        for resource in state["deployment"]["resources"]
        if resource["type"].startswith("kubernetes:")
    ]
    assert sorted(applied) == sorted(files)

    assert server_diff(tmp_path, provisioned.kubeconfig, LOCAL_CONTEXT) == []
    service = files["Service/ai-namespace/ai-inference-service"]
    document = yaml.safe_load(service.read_text())
    document["metadata"]["labels"]["app.kubernetes.io/part-of"] = "another"
    service.write_text(yaml.safe_dump(document))
    changed = server_diff(tmp_path, provisioned.kubeconfig, LOCAL_CONTEXT)
    assert "-    app.kubernetes.io/part-of: kubemind-inference" in changed
    assert "+    app.kubernetes.io/part-of: another" in changed
