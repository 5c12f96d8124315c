"""Certificates in folders as kubelet mounts a Secret, and the bootstrap that reads them there."""

import copy
from itertools import count
from pathlib import Path
from typing import Any

import trustme
import yaml

from components.gateway.envoy import tls
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack

NAME = "envoy-gateway.ai-namespace.svc.cluster.local"
"""Name that the clients verify, as the stack's output `serverName` has it by default."""

TLS = {"kind": "secret", "secretName": "gateway-tls"}


class MountedFolder:
    """A volume's folder, written as kubelet's AtomicWriter does (kubernetes/kubernetes,
    pkg/volume/util/atomic_writer.go): files lead through the link `..data`, which moves at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = count()
        folder.mkdir(parents=True)

    def write(self, files: dict[str, bytes]) -> None:
        """Give the volume new contents."""
        version = self.folder / f"..version_{next(self._versions)}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")
        for name in files:
            file = self.folder / name
            if not file.is_symlink():
                file.symlink_to(Path("..data") / name)


def pair(authority: trustme.CA, *names: str, **how: Any) -> dict[str, bytes]:
    """A certificate and its key, under the names that a Secret of type `kubernetes.io/tls` has."""
    issued = authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **how)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    return {tls.CERTIFICATE_FILE: chain, tls.KEY_FILE: issued.private_key_pem.bytes()}


class Mounts:
    """All that the SDS file of a gateway names; `edit` points a bootstrap to it."""

    def __init__(self, folder: Path, options: Json | None = None) -> None:
        self.options = options or TLS
        self.authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.certificate = MountedFolder(folder / "tls")
        self._sds = folder / tls.SDS_FILE
        self.renew()

    @property
    def ca(self) -> bytes:
        """Certificate of the server's authority."""
        return self.authority.cert_pem.bytes()

    def renew(self) -> dict[str, bytes]:
        """Replace the server's certificate and key by new ones; return them."""
        files = pair(self.authority, NAME)
        self.certificate.write(files)
        return files

    def edit(self, config: Json) -> None:
        """Point a bootstrap, and the SDS file, to the folders here; nothing else differs."""
        stack = InferenceStack.model_validate({"gateway": {"tls": self.options}})
        text = yaml.safe_dump(tls.sds(stack))
        for mount in tls.mounts(stack):
            text = text.replace(mount.path, str(self._sds.parent / Path(mount.path).name))
        self._sds.write_text(text)
        for secret in common(config)["tls_certificate_sds_secret_configs"]:
            secret["sds_config"]["path_config_source"]["path"] = str(self._sds)

    def inline(self, listener: Json, port: int) -> Json:
        """Copy a listener to another port, with the same files but without SDS."""
        other = copy.deepcopy(listener)
        other["name"] = "inline"
        other["address"]["socket_address"]["port_value"] = port
        context = other["filter_chains"][0]["transport_socket"]["typed_config"]
        fields: Json = context["common_tls_context"]
        del fields["tls_certificate_sds_secret_configs"]
        (secret, *_) = yaml.safe_load(self._sds.read_text())["resources"]
        fields["tls_certificates"] = [secret["tls_certificate"]]
        return other


def chain(config: Json) -> Json:
    """The filter chain of the callers' listener."""
    (found,) = config["static_resources"]["listeners"][0]["filter_chains"]
    return found


def common(config: Json) -> Json:
    """`CommonTlsContext` of the callers' listener."""
    return chain(config)["transport_socket"]["typed_config"]["common_tls_context"]
