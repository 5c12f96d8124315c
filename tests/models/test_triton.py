"""The real Triton, in the local image, on repositories as people have them; without a cluster.

The image's file system is a folder here, which Triton sees as its root: no container, no limits.
"""

import json
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local_cluster.serving import images, machine, triton
from ops.stack.environment import PROJECT
from tests.envoy.harness.waiting import free_ports, wait_until
from tests.models import container
from tests.models.s3_server import S3Server
from tests.unit.declared_triton import S3, pod_of
from tests.unit.test_repository_reader import ENSEMBLE, MODEL, PYTHON, write

pytestmark = pytest.mark.skipif(
    bool(machine.missing_prerequisites()), reason="the machine cannot build the image"
)

EXAMPLES = PROJECT / "examples"

_START = """
set -e
mount --make-rprivate /
for folder in proc dev "$2"; do
  mkdir -p "$1/$folder"
  mount --rbind "/$folder" "$1/$folder"
done
mount -t tmpfs none "$1/dev/shm"
root=$1
shift 2
exec chroot "$root" /usr/bin/env -i "$@"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system of Triton's image."""
    (recipe,) = [recipe for recipe in images.recipes() if recipe.has_triton]
    (archive,) = images.ensure({}, print, [recipe]).values()
    root = tmp_path_factory.mktemp("image")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("layer.tar")
        assert layer
        with tarfile.open(fileobj=layer) as inner:
            inner.extractall(root, filter="fully_trusted")
    return root


@contextmanager
def running(image: Path, repository: Path, *flags: str) -> Iterator["Server"]:
    """Start Triton on a repository, and end it."""
    http, grpc, metrics = free_ports(3)
    variables = [f"{k}={v}" for k, v in {**triton.ENVIRONMENT, "HOME": "/tmp"}.items()]
    folder = repository.parent
    command = [
        *("unshare", "--mount", "sh", "-c", _START, "sh", image, str(folder)[1:], *variables),
        *("tritonserver", f"--model-repository={repository}", f"--http-port={http}"),
        *(f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--http-address=127.0.0.1"),
        *("--grpc-address=127.0.0.1", "--exit-timeout-secs=1", *flags),
    ]
    log = folder / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    server = Server(process, f"http://127.0.0.1:{http}/v2", log)
    try:
        wait_until(f"Triton answers, see {log}", server.answers, timeout_seconds=120)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


class Server:
    """A Triton that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
        self._process, self._address, self._log = process, address, log

    def answers(self) -> bool:
        """Return True if it answers; fail if it has ended."""
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            self.ask("health/live", None)
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def ask(self, path: str, body: Any) -> Any:
        """Answer to a question, as JSON."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self._address}/{path}", data, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def states(self) -> dict[str, str]:
        """State of each model."""
        found = self.ask("repository/index", {})
        return {model["name"]: model.get("state", "") for model in found}


def test_an_ensemble_and_a_model_with_its_own_environment_come_from_s3(image, tmp_path):
    """By the init container's real script; the copy's address is the only one that differs."""
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "models", source)
    pack = ["tar", "-C", EXAMPLES / "environment", "-czf", source / "shout/env.tar.gz", "."]
    subprocess.run(pack, check=True)
    (tmp_path / "repository").mkdir()
    (init,) = pod_of(modelRepository={**S3, "uri": "s3://models/prod"})["initContainers"]
    with S3Server.start() as server:
        server.put_folder("models", "prod", source)
        server.put("models", {"prod/.git/config": b"", "prod/README.md": b""})
        copied = container.run(init, tmp_path, environment=server.environment)
    assert copied.returncode == 0, copied.stderr
    flags = ("--strict-readiness=true", "--exit-on-error=true", "--disable-auto-complete-config")
    with running(image, tmp_path / "models", *flags) as served:
        assert served.states() == {"shout": "READY", "shout_twice": "READY"}
        tensor = {"name": "INPUT0", "shape": [1], "datatype": "BYTES", "data": ["hello"]}
        answer = served.ask("models/shout_twice/infer", {"inputs": [tensor]})
    assert answer["outputs"][0]["data"] == ["HELLO!!"]


def test_triton_serves_what_the_init_container_links(image, tmp_path):
    """A claim as people have it."""
    code = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
    config = f'{PYTHON} output [ {{ name: "O" data_type: TYPE_FP32 dims: [ 1 ] }} ]'
    python = {"config.pbtxt": config, "1/model.py": code}
    layouts = {
        "m": python,
        "zero": {"config.pbtxt": config, "0/model.py": code},
        "linked": {"config.pbtxt": config, "v/model.py": code, "2": "-> v"},
        "other": {
            "config.pbtxt": f'{config} default_model_filename: "other.py"',
            "1/other.py": code,
        },
        "beside": {**python, "assets/x": "", ".ipynb_checkpoints/x": "", "1/prompt.template": ""},
    }
    files = {
        f"{name}/{path}": text for name, model in layouts.items() for path, text in model.items()
    }
    files |= {".git/config": "", "lost+found": None, "README.md": "", "alias": "-> m"}
    write(tmp_path / "repository", files)
    (init,) = pod_of(modelRepository={"kind": "pvc", "claim": "c"})["initContainers"]
    linked = container.run(init, tmp_path)
    assert linked.returncode == 0, linked.stderr
    flags = ("--exit-on-error=true", "--disable-auto-complete-config")
    with running(image, tmp_path / "models", *flags) as served:
        assert served.states() == dict.fromkeys([*layouts, "alias"], "READY")


def test_triton_does_not_serve_what_is_refused(image, tmp_path):
    """Not shown: mistakes at which Triton hangs or crashes."""
    files = {
        **MODEL,
        "v1/config.pbtxt": PYTHON,
        "v1/v1/model.py": "",
        "zeros/config.pbtxt": PYTHON,
        "zeros/01/model.py": "",
        "named/config.pbtxt": f'{PYTHON} name: "other"',
        "named/1/model.py": "",
        "folderless/config.pbtxt": ENSEMBLE,
        "docs/x": "",
        "backendless/1/weights": "",
    }
    write(tmp_path / "repository", files)
    with running(image, tmp_path / "repository", "--exit-on-error=false") as served:
        states = served.states()
    assert "READY" not in {state for name, state in states.items() if name != "m"}
