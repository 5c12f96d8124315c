"""A connection from this machine to one Service of the cluster, by `kubectl port-forward`."""

import re
import select
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from json import dumps

from components.cluster.kubeconfig import KubeconfigContext, kubectl_environment
from components.cluster.kubectl_proxy import ENDS_WITH_US, START_SECONDS, private_folder

_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+)")


class ForwardError(Exception):
    """A failed connection to the Service; the message is kubectl's own."""


@contextmanager
def forwarded(target: KubeconfigContext, namespace: str, service: str, port: int) -> Generator[int]:
    """Hold a port of 127.0.0.1 open that leads to a pod of a Service.

    Args:
        target: Cluster, and user of its kubeconfig.
        namespace: Namespace of the Service.
        service: Name of the Service.
        port: Port of the Service.

    Yields:
        The port on 127.0.0.1.

    Raises:
        ForwardError: The Service has no pod, or the user has no permission.
    """
    folder = private_folder()
    try:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(dumps(target.document), encoding="utf-8")
        command = [
            *("kubectl", "port-forward", "--kubeconfig", str(kubeconfig)),
            *("--context", target.context, "--namespace", namespace),
            *("--address", "127.0.0.1", f"service/{service}", f":{port}"),
        ]
        process = subprocess.Popen(  # noqa: S603 - kubectl, as found on PATH
            ["sh", "-c", ENDS_WITH_US, "sh", *command],  # noqa: S607
            env=kubectl_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - pipes
        try:
            ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            found = _FORWARDING.match(process.stdout.readline()) if ready else None
            if not found:
                process.stdin.close()
                errors = process.stderr.read().decode(errors="replace").strip().splitlines()
                raise ForwardError(errors[-1].removeprefix("error: ") if errors else "no answer")
            yield int(found[1])
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
            process.stderr.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
