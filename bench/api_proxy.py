"""`kubectl proxy`, by which a program on the machine reads the pages of pods."""

import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ops.errors import OpsError


@contextmanager
def pods_by_proxy(kubeconfig: Path, variables: Mapping[str, str], namespace: str) -> Generator[str]:
    """Run `kubectl proxy` within the block.

    Args:
        kubeconfig: Kubeconfig of the cluster.
        variables: Environment, with kubectl on its PATH.
        namespace: Namespace of the pods.

    Yields:
        Address of the namespace's pods; `/<name>:<port>/proxy/<path>` after it is a pod's page.
    """
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            if not proxy.stdout:
                raise OpsError("kubectl proxy has no output")
            server = proxy.stdout.readline().rpartition(" ")[2].strip()
            yield f"http://{server}/api/v1/namespaces/{namespace}/pods"
        finally:
            proxy.terminate()
