"""TLS with a private certificate authority, and the errors of mismatched settings."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from accounted_run import account
from eventflow.channel import Channel
from eventflow.errors import EndpointError, EventFlowError
from eventflow.http2 import frames as h2
from eventflow.outcomes import Outcome
from eventflow.target import Target, Tls
from hostile_server import Peer, hostile, ok, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def server_context(authority: trustme.CA, name: str, alpn: str = "h2") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    context.set_alpn_protocols([alpn])
    return context


def answer(peer: Peer, stream: int) -> None:
    assert peer.headers_of(stream)[":scheme"] == "https"
    peer.reply(stream, ok(stream))


def test_calls_over_tls_are_accounted_for_as_over_plaintext(
    authority: trustme.CA, ca: Path
) -> None:
    context = server_context(authority, "127.0.0.1")
    result = account(serving(answer), 2000, tls=context, tls_options=Tls(ca=ca))
    assert result.counts == {Outcome.OK: 2000}
    assert len(result.channel.records) == 1
    assert all(call.sent_at <= call.done_at for call in result.calls)


def test_a_certificate_for_another_name_is_accepted_only_when_that_name_is_expected(
    authority: trustme.CA, ca: Path
) -> None:
    context = server_context(authority, "gateway.example")
    tls = Tls(ca=ca, server_name="gateway.example")
    assert account(serving(answer), 3, tls=context, tls_options=tls).counts == {Outcome.OK: 3}
    assert "IP address mismatch" in refused(context, Tls(ca=ca))


def test_a_client_presents_its_certificate_if_the_server_requires_one(
    authority: trustme.CA, ca: Path, tmp_path: Path
) -> None:
    own = authority.issue_cert("client.example")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    context = server_context(authority, "127.0.0.1")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    tls = Tls(ca=ca, certificate=certificate, key=key)
    assert account(serving(answer), 3, tls=context, tls_options=tls).counts == {Outcome.OK: 3}
    # In TLS 1.3 the server checks the certificate after the client's handshake is done.
    assert "before speaking HTTP/2" in refused(context, Tls(ca=ca))


async def hang_up_on_junk(peer: Peer) -> None:
    """Close the connection, as servers do if the bytes are not HTTP/2."""
    if await peer.reader.readexactly(3) == b"PRI":
        peer.send(h2.settings({}))
    else:
        peer.writer.close()


def refused(context: ssl.SSLContext | None, tls: Tls | None) -> str:
    async def main() -> str:
        async with hostile(hang_up_on_junk, context) as server:
            target = Target(host="127.0.0.1", port=server.port, tls=tls)
            with pytest.raises(EndpointError) as caught:
                await Channel(target).connect()
            return str(caught.value)

    return asyncio.run(main())


def test_a_certificate_of_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    message = refused(server_context(authority, "127.0.0.1"), Tls())
    assert "TLS: " in message
    assert "certificate" in message


def test_a_server_without_http2_is_refused(authority: trustme.CA, ca: Path) -> None:
    message = refused(server_context(authority, "127.0.0.1", alpn="http/1.1"), Tls(ca=ca))
    assert "does not offer HTTP/2 (ALPN h2)" in message or "no application protocol" in message


def test_tls_to_a_plaintext_port_and_plaintext_to_a_tls_port_are_refused(
    authority: trustme.CA, ca: Path
) -> None:
    assert "it ended the connection while TLS was set up" in refused(None, Tls(ca=ca))
    message = refused(server_context(authority, "127.0.0.1"), None)
    assert "it ended the connection before speaking HTTP/2" in message


def test_the_error_names_files_that_are_not_certificates(tmp_path: Path) -> None:
    with pytest.raises(EventFlowError, match=r"TLS: cannot use .*missing\.pem"):
        Tls(ca=tmp_path / "missing.pem").context()
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(EventFlowError, match=r"TLS: cannot use .*junk\.pem"):
        Tls(ca=tmp_path / "junk.pem").context()
