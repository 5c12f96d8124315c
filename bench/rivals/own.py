"""The stack's own gateways on loopback: with an open door, and with a locked one."""

from pathlib import Path

import yaml

from bench.door import Door, issue
from bench.loopback import local_bootstrap
from bench.rivals.bed import DNS_PORT, HOST
from components.gateway.envoy.bootstrap import arguments
from components.gateway.envoy.tls import (
    CA_FILE,
    CERTIFICATE_FILE,
    CERTIFICATE_FOLDER,
    CLIENT_CA_FOLDER,
    CONFIG_FOLDER,
    KEY_FILE,
)
from components.gateway.envoy.validate import envoy_path
from components.gateway.workload import BOOTSTRAP_FILE, config_files
from config.sections.inference import InferenceStack

_SERVER = "gateway.example"
_CA_FILE, _PAIR_FILE = "ca.pem", "client.pem"


def write(door: Door, folder: Path) -> None:
    """Write certificates and keys where a gateway in the folder, and its client, read them."""
    if not door.encrypted:
        return
    files = issue(_SERVER)
    server, callers = (
        Path(_moved(path, folder)) for path in (CERTIFICATE_FOLDER, CLIENT_CA_FOLDER)
    )
    for place in (server, callers):
        place.mkdir(parents=True)
    (server / CERTIFICATE_FILE).write_bytes(files.certificate)
    (server / KEY_FILE).write_bytes(files.key)
    for path in (callers / CA_FILE, folder / _CA_FILE):
        path.write_bytes(files.authority)
    (folder / _PAIR_FILE).write_bytes(files.caller_key + files.caller_certificate)


def client(door: Door, folder: Path) -> dict[str, str]:
    """Return the options of `grpc-bed`'s client, for the files that `write` has written."""
    if not door.encrypted:
        return {}
    options = {"ca": str(folder / _CA_FILE), "server-name": _SERVER}
    if door.known:
        options |= {"cert": str(folder / _PAIR_FILE), "token": door.token()}
    return options


def envoy_command(stack: InferenceStack, folder: Path) -> list[str]:
    """Write the files of a stack's gateway, moved to loopback and a folder; return its command.

    Args:
        stack: The inference stack.
        folder: Existing folder.
    """
    files = config_files(stack)
    files[BOOTSTRAP_FILE] = yaml.safe_dump(local_bootstrap(stack, HOST, DNS_PORT))
    for name, text in files.items():
        (folder / name).write_text(_moved(text, folder))
    return [str(envoy_path()), *arguments(str(folder / BOOTSTRAP_FILE))]


def _moved(text: str, folder: Path) -> str:
    """Return a text, or a path, with the container's folder replaced."""
    return text.replace(CONFIG_FOLDER, str(folder))
