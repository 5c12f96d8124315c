"""Key sets in a mounted Secret or ConfigMap: they change under calls, and no call is lost.

The folder is written as kubelet writes it. Not shown: kubelet's own delay.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.gateway.envoy import jwks
from components.gateway.envoy.protojson import Json
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.client import GrpcClient, codes
from tests.envoy.harness.secrets import MountedFolder
from tests.envoy.harness.steady import SteadyCalls
from tests.envoy.harness.tokens import TokenIssuer, bearer, key_set
from tests.envoy.harness.waiting import wait_until

OLD, NEW, INLINE = TokenIssuer("issuer", "old"), TokenIssuer("issuer", "new"), TokenIssuer("inline")


@dataclass
class Keys:
    """The mounted key set of the issuer that has `OLD` and `NEW`."""

    folder: MountedFolder

    def publish(self, text: str) -> None:
        self.folder.write({"jwks.json": text.encode()})

    def edit(self, config: Json) -> None:
        """Point a bootstrap to the folder; nothing else differs."""
        text = json.dumps(config).replace(jwks.folder(1), str(self.folder.folder))
        config.update(json.loads(text))


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Keys, Bed]]:
    keys = Keys(MountedFolder(tmp_path / "jwks"))
    keys.publish(OLD.jwks)
    issuers = [INLINE.config(), OLD.config({"kind": "configMap", "name": "keys"})]
    options = {"callers": {"jwt": {"issuers": issuers}}}
    with open_bed(tmp_path, replicas=1, gateway=options, edit=keys.edit) as bed:
        yield keys, bed


def test_keys_change_within_seconds_and_no_call_is_lost(mounted):
    keys, bed = mounted
    number = iter(range(100_000))

    def outcome(issuer: TokenIssuer) -> str:
        # A token that no gateway has seen: it remembers those that it has verified.
        return client.call(**bearer(issuer.token(jti=str(next(number))))).code.name

    def failed() -> int:
        return bed.gateway.downstream_stat("jwt_authn.jwks_fetch_failed")

    with GrpcClient(bed.gateway.port) as client:
        assert outcome(INLINE) == "OK"
        assert outcome(OLD) == "OK"
        assert outcome(NEW) == "UNAUTHENTICATED"
        with SteadyCalls(client, **bearer(INLINE.token())) as calls:
            keys.publish(key_set(OLD, NEW))
            wait_until("the new key", lambda: outcome(NEW) == "OK")
            assert outcome(OLD) == "OK"
            remembered = bearer(OLD.token())
            assert client.call(**remembered).code.name == "OK"
            keys.publish(NEW.jwks)
            wait_until("the old key is out", lambda: outcome(OLD) == "UNAUTHENTICATED")
            # Until it expires: see `gateway.callers.jwt.maxLifetimeSeconds`.
            assert client.call(**remembered).code.name == "OK"
            before = failed()
            keys.publish("")
            wait_until("it is refused", lambda: failed() > before)
            assert outcome(NEW) == "OK"
            calls.more()
        assert set(codes(calls.outcomes)) == {"OK"}
