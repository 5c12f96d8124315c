"""cert-manager's real controllers for a CA issuer, on a cluster.

Its webhook does not run: the API server checks objects by cert-manager's definitions alone.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
import yaml

from config.base import PROJECT_FOLDER
from local_cluster import toolchain
from tests.integration.checkout import Checkout

HOME = "cert-manager"
"""Namespace of the Secrets that ClusterIssuers name, as cert-manager has it by default."""

ISSUER = PROJECT_FOLDER / "tests" / "fixtures" / "cluster-issuer.yaml"
"""The platform team's ClusterIssuer."""

_CRDS = ("certificate-crd", "certificaterequest-crd", "clusterissuer-crd", "issuer-crd")


@contextmanager
def cert_manager(checkout: Checkout, folder: Path, authority: trustme.CA) -> Iterator[str]:
    """Run the controllers and the platform team's issuer; yield the issuer's name.

    A Certificate takes its Secret along when it is deleted.

    Args:
        checkout: The checkout whose cluster it is.
        folder: For the log and the authority's key.
        authority: Authority of the issuer.
    """
    definitions = [yaml.safe_load(file.read_text()) for file in toolchain.ensure(*_CRDS).values()]
    names = [definition["metadata"]["name"] for definition in definitions]
    issuer = yaml.safe_load(ISSUER.read_text())
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": issuer["spec"]["ca"]["secretName"], "namespace": HOME},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": authority.cert_pem.bytes().decode(),
            "tls.key": authority.private_key_pem.bytes().decode(),
        },
    }
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}}
    first, second = folder / "definitions.yaml", folder / "issuer.yaml"
    first.write_text(yaml.safe_dump_all([*definitions, home]))
    second.write_text(yaml.safe_dump_all([secret, issuer]))
    name = issuer["metadata"]["name"]
    # The cluster is others' too: what is there goes, whatever fails.
    with ExitStack() as undo:
        undo.callback(checkout.delete_definitions, *names)
        undo.callback(lambda: gone(checkout, "namespace", HOME))
        # The definitions are too long for the annotation of a client-side apply.
        checkout.kubectl("apply", "--server-side", "-f", str(first)).ok()
        checkout.await_condition("Established", *(f"crd/{each}" for each in names))
        undo.callback(lambda: gone(checkout, "-f", str(second)))
        checkout.kubectl("apply", "-f", str(second)).ok()
        undo.enter_context(_running(checkout, folder / "cert-manager.log"))
        checkout.await_condition("Ready", f"clusterissuer/{name}")
        yield name


def gone(checkout: Checkout, *objects: str) -> None:
    """Delete objects that may not be there."""
    checkout.kubectl("delete", "--ignore-not-found", *objects).ok()


@contextmanager
def _running(checkout: Checkout, path: Path) -> Iterator[None]:
    program = toolchain.ensure("cert-manager")["cert-manager"]
    with path.open("wb") as log:
        process = subprocess.Popen(
            [program, "--kubeconfig", checkout.kubeconfig, "--enable-certificate-owner-ref"],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()
