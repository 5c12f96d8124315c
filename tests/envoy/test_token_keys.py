"""Key sets that change under calls: in a mounted Secret or ConfigMap, or at the issuer.

The folder is written as kubelet writes it. Not shown: kubelet's own delay, and that a network lets
the gateway connect to an issuer.
"""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from components.gateway.envoy import jwks, tls
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack
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


ISSUERS = [INLINE.config(), OLD.config({"kind": "configMap", "name": "keys"})]
MOUNTED = {"callers": {"jwt": {"issuers": ISSUERS}}}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Keys, Bed]]:
    keys = Keys(MountedFolder(tmp_path / "jwks"))
    keys.publish(OLD.jwks)
    with open_bed(tmp_path, replicas=1, gateway=MOUNTED, edit=keys.edit) as bed:
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
        assert bed.gateway.get("/ready", port=bed.stack.gateway.ops_port)[0] == 200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "invalid local jwks: Jwks is an invalid JSON"),
        ('{"keys": []}', "invalid local jwks: Jwks doesn't have any valid public key"),
    ],
)
def test_a_gateway_does_not_start_with_a_bad_key_set_and_says_why(tmp_path, text, reason):
    """It does with an empty file, which Envoy takes for none; preflight refuses that one."""
    keys = Keys(MountedFolder(tmp_path / "jwks"))
    keys.publish(text)
    ended = pytest.raises(AssertionError, match=f"Envoy ended with 1\n(.*\n)*.*{reason}")
    with ended, open_bed(tmp_path, replicas=1, gateway=MOUNTED, edit=keys.edit):
        pass


def test_only_the_check_at_the_start_keeps_such_a_gateway_from_being_ready(tmp_path):
    keys = Keys(MountedFolder(tmp_path / "jwks"))
    keys.publish("{")

    def edit(config: Json) -> None:
        keys.edit(config)
        (found,) = [
            each for each in config["static_resources"]["listeners"] if each["name"] == "jwks"
        ]
        manager = found["filter_chains"][0]["filters"][0]["typed_config"]
        del manager["http_filters"][0]

    with (
        open_bed(tmp_path, replicas=1, gateway=MOUNTED, edit=edit) as bed,
        GrpcClient(bed.gateway.port) as client,
    ):
        assert client.call(**bearer(OLD.token())).code.name == "UNAUTHENTICATED"
        assert bed.gateway.get("/ready", port=bed.stack.gateway.ops_port)[0] == 200


AUTHORITY, OTHER = (trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(2))


class Published(BaseHTTPRequestHandler):
    """The issuer's host: answers each GET with the key set of `OLD`."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(OLD.jwks.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[int]:
    """Port of the issuer's host, whose name is localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost", key_type=trustme.KeyType.ECDSA).configure_cert(context)
    with ThreadingHTTPServer(("localhost", 0), Published) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("authority", "name", "end"),
    [
        (AUTHORITY, "localhost", ("OK", "")),
        (AUTHORITY, "another", ("UNAUTHENTICATED", "Jwks remote fetch is failed")),
        (OTHER, "localhost", ("UNAUTHENTICATED", "Jwks remote fetch is failed")),
    ],
)
def test_keys_are_fetched_from_an_issuer_whose_certificate_is_right(
    tmp_path, host, authority, name, end
):
    ca = MountedFolder(tmp_path / "ca")
    ca.write({"ca.crt": authority.cert_pem.bytes()})
    remote = {
        "kind": "remote",
        "uri": f"https://localhost:{host}/keys",
        "cidrs": ["127.0.0.0/8"],
        "ca": {"kind": "secret", "name": "ca"},
    }
    options = {"callers": {"jwt": {"issuers": [OLD.config(remote)]}}}
    ((secret, response),) = jwks.sds(InferenceStack.model_validate({"gateway": options})).items()
    file = tmp_path / "sds.json"
    (validation,) = (each["validation_context"] for each in response["resources"])
    (rule,) = validation["match_typed_subject_alt_names"]
    assert rule["matcher"]["exact"] == "localhost"
    rule["matcher"]["exact"] = name
    file.write_text(json.dumps(response).replace(jwks.ca_folder(0), str(ca.folder)))

    def edit(config: Json) -> None:
        text = json.dumps(config).replace(f"/etc/envoy/{tls.sds_file(secret)}", str(file))
        config.update(json.loads(text))

    with (
        open_bed(tmp_path, replicas=1, gateway=options, edit=edit) as bed,
        GrpcClient(bed.gateway.port) as client,
    ):
        call = client.call(**bearer(OLD.token()))
    assert (call.code.name, call.details) == end
