"""Certificates in folders as kubelet mounts a Secret, and the bootstrap that reads them there."""

import copy
import json
from itertools import count
from pathlib import Path
from typing import Any

import trustme
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.gateway.envoy import tls
from components.gateway.envoy.clusters import start_check
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


def with_uri(authority: trustme.CA, uri: str) -> dict[str, bytes]:
    """As `pair`, with a URI as the only name."""
    ca = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ca.not_valid_before_utc)
        .not_valid_after(ca.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
        )
        .sign(signing, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return {
        tls.CERTIFICATE_FILE: issued.public_bytes(encoding),
        tls.KEY_FILE: key.private_bytes(encoding, form, serialization.NoEncryption()),
    }


class Mounts:
    """All that the SDS files of a gateway name; `edit` points a bootstrap to it."""

    def __init__(self, folder: Path, options: Json | None = None) -> None:
        self.options = options or TLS
        self.authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.certificate = MountedFolder(folder / Path(tls.CERTIFICATE_FOLDER).name)
        self.client_ca = MountedFolder(folder / Path(tls.CLIENT_CA_FOLDER).name)
        self._folder = folder
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

    def trust(self, *authorities: trustme.CA) -> None:
        """Replace the clients' CA bundle."""
        self.client_ca.write({tls.CA_FILE: b"".join(ca.cert_pem.bytes() for ca in authorities)})

    def edit(self, config: Json) -> None:
        """Point a bootstrap, and the SDS files, to the folders here; nothing else differs."""
        stack = InferenceStack.model_validate({"gateway": {"tls": self.options}})
        for name, message in tls.sds(stack).items():
            self.sds(name).write_text(self._moved(stack, yaml.safe_dump(message)))
        config.update(json.loads(self._moved(stack, json.dumps(config))))
        for secret in sds_configs(config):
            path = str(self.sds(secret["name"]))
            secret["sds_config"]["path_config_source"]["path"] = path

    def _moved(self, stack: InferenceStack, text: str) -> str:
        for mount in tls.mounts(stack):
            text = text.replace(mount.path, str(self._folder / Path(mount.path).name))
        return text

    def sds(self, name: str) -> Path:
        """SDS file of one secret."""
        return self._folder / tls.sds_file(name)

    def inline(self, listener: Json, port: int) -> Json:
        """Copy a listener to another port, with the same files but without SDS."""
        other = copy.deepcopy(listener)
        other["name"] = "inline"
        other["address"]["socket_address"]["port_value"] = port
        context = other["filter_chains"][0]["transport_socket"]["typed_config"]
        fields: Json = context["common_tls_context"]
        del fields["tls_certificate_sds_secret_configs"]
        (secret,) = yaml.safe_load(self.sds(tls.SERVER).read_text())["resources"]
        fields["tls_certificates"] = [secret["tls_certificate"]]
        return other


def without_start_check(config: Json) -> None:
    """Let Envoy start with whatever files there are, as it does where SDS alone reads them."""
    clusters = config["static_resources"]["clusters"]
    clusters[:] = [each for each in clusters if each["name"] != start_check.NAME]


def chain(config: Json) -> Json:
    """The filter chain with TLS of the callers' listener, or the only one."""
    return config["static_resources"]["listeners"][0]["filter_chains"][0]


def common(config: Json) -> Json:
    """`CommonTlsContext` of the callers' listener."""
    return chain(config)["transport_socket"]["typed_config"]["common_tls_context"]


def sds_configs(config: Json) -> list[Json]:
    """All `SdsSecretConfig` of the callers' listener."""
    clients = common(config).get("validation_context_sds_secret_config")
    return [
        *common(config)["tls_certificate_sds_secret_configs"],
        *([clients] if clients else []),
    ]
