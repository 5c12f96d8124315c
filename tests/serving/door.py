"""Material of a locked gateway: its certificate, authorities and keys, and callers' files."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from bench.overload.stack_bed import stack_bed
from config.sections.gateway_callers import ConfigMapJwks
from config.sections.gateway_tls import SecretCa
from config.selectors import gateway_selector
from ops.stack.environment import PROJECT
from tests.envoy.harness.secrets import pair
from tests.envoy.harness.tokens import TokenIssuer
from tests.serving.cluster import get, selected, staying
from tests.serving.steady import Fleet

CERTIFICATE, CALLERS_CA, TOKEN_KEYS = "gateway-tls", "callers-ca", "token-keys"
"""A Secret, a Secret and a ConfigMap in the stack's namespace."""

CALLER = "orchestrator.example.com"
ISSUER = "https://issuer.example.com"

_CA_KEY = str(SecretCa.model_fields["key"].default)
_KEYS_KEY = str(ConfigMapJwks.model_fields["key"].default)


def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def pem(*authorities: trustme.CA) -> bytes:
    return b"".join(each.cert_pem.bytes() for each in authorities)


class Caller(NamedTuple):
    """A caller's credentials, and the authorities of gateways that it trusts."""

    trusts: bytes = b""
    """Empty for plain text."""
    pair: Mapping[str, bytes] | None = None
    token: str | None = None


@dataclass
class Door:
    """Certificate, authorities and keys of a gateway, in two generations each."""

    fleet: Fleet
    folder: Path
    servers: tuple[trustme.CA, trustme.CA] = field(
        default_factory=lambda: (authority(), authority())
    )
    callers: tuple[trustme.CA, trustme.CA] = field(
        default_factory=lambda: (authority(), authority())
    )
    keys: tuple[TokenIssuer, TokenIssuer] = field(
        default_factory=lambda: (TokenIssuer(ISSUER, "a"), TokenIssuer(ISSUER, "b"))
    )
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def server_name(self) -> str:
        return self.fleet.stack.server_name

    def caller(self, generation: int, *trusted: int) -> Caller:
        """Return a caller with a certificate and a new token of one generation.

        Args:
            generation: 0 or 1.
            trusted: Generations of the gateway's authority that it trusts.
        """
        own = pair(self.callers[generation], CALLER)
        return Caller(
            pem(*(self.servers[each] for each in trusted)), own, self.keys[generation].token()
        )

    def options(self, caller: Caller) -> list[str]:
        """Return the load client's options of a caller, whose files they name."""
        found: list[str] = []
        if caller.trusts:
            found += ["--ca", self._file(caller.trusts), "--server-name", self.server_name]
        if caller.pair:
            found += ["--cert", self._file(caller.pair["tls.crt"])]
            found += ["--key", self._file(caller.pair["tls.key"])]
        if caller.token:
            found += ["--token-file", self._file(caller.token.encode())]
        return found

    def said(
        self, caller: Caller, address: str | None = None, enter: Sequence[str] = ()
    ) -> tuple[int, str]:
        """Exit code and output of one call by the load client, on a connection of its own."""
        command = [*enter, sys.executable, "-m", "eventflow", "infer"]
        command += [address or self.fleet.address, "--deadline", "20", *self.options(caller)]
        ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
        return ran.returncode, ran.stdout + ran.stderr

    def at_each_gateway(self, caller: Caller) -> list[str]:
        """Output of one call to each gateway pod, past the Service."""
        checkout, stack = self.fleet.checkout, self.fleet.stack
        enter = stack_bed(checkout.env, self.fleet.settings, "dev").enter
        port = stack.gateway.port
        addresses = [f"{pod['status']['podIP']}:{port}" for pod in self.gateways()]
        return [self.said(caller, address, enter)[1] for address in addresses]

    def gateways(self) -> list[dict[str, Any]]:
        """Pods of the gateway, without those that are stopping."""
        labels = selected(gateway_selector(self.fleet.stack))
        namespace = self.fleet.stack.namespace
        return staying(get(self.fleet.checkout, "pods", "-n", namespace, "-l", labels))

    def certify(self, generation: int) -> None:
        """Put a new certificate of the gateway into its Secret."""
        files = pair(self.servers[generation], self.server_name)
        self._put("Secret", CERTIFICATE, files, type="kubernetes.io/tls")

    def trust(self, *generations: int) -> None:
        """Put the callers' authorities and the tokens' keys of these generations into place."""
        callers = pem(*(self.callers[each] for each in generations))
        self._put("Secret", CALLERS_CA, {_CA_KEY: callers})
        keys = {"keys": [self.keys[each].public_key for each in generations]}
        self._put("ConfigMap", TOKEN_KEYS, {_KEYS_KEY: json.dumps(keys).encode()})

    def delete(self) -> None:
        """Delete all of these objects."""
        names = [f"secret/{CERTIFICATE}", f"secret/{CALLERS_CA}", f"configmap/{TOKEN_KEYS}"]
        where = ("-n", self.fleet.stack.namespace, "--ignore-not-found")
        self.fleet.checkout.kubectl("delete", *where, *names).ok()

    def _put(self, kind: str, name: str, data: Mapping[str, bytes], **fields: str) -> None:
        written = {key: value.decode() for key, value in data.items()}
        manifest = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.fleet.stack.namespace},
            "data" if kind == "ConfigMap" else "stringData": written,
            **fields,
        }
        self.fleet.checkout.kubectl("apply", "-f", self._file(json.dumps(manifest).encode())).ok()

    def _file(self, content: bytes) -> str:
        file = self.folder / f"file-{next(self._numbers)}"
        file.write_bytes(content)
        return str(file)
