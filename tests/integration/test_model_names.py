"""Names in a model repository, as the API server takes them in a pod.

By a server-side dry run: that kubelet makes the files is not shown.
"""

import json
from pathlib import Path

import pytest

from components.triton.model_repository import config_map
from tests.integration.checkout import Checkout

LONG = "x" * 255


def tried(started: Checkout, folder: Path, *paths: str) -> str:
    """Answer of the API server to a pod that mounts files of these paths."""
    repository = config_map("models", dict.fromkeys(paths, b""))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "volumeMounts": repository.mounts}],
            "volumes": repository.volumes,
        },
    }
    manifest = folder / "pod.json"
    manifest.write_text(json.dumps(pod))
    return started.kubectl("create", "--dry-run=server", "-f", str(manifest)).output


@pytest.mark.parametrize("file", ["a:b", "a b", ".x", "..x", "ä", LONG, "a'\"$`\\", "*", "a\tb"])
def test_a_file_may_have_any_name(started, tmp_path, file):
    assert "created" in tried(started, tmp_path, f"m/1/{file}", f"m/{file}/x")


def test_a_model_may_have_any_name_that_the_preview_lets_pass(started, tmp_path):
    """A colon it would take, too, though its reference rules one out in `mountPath`."""
    assert "created" in tried(started, tmp_path, "a+b@c=d,e~f.g-h_i/1/model.py")
