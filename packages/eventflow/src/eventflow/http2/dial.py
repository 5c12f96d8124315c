"""Opening of a connection that is ready for calls."""

import asyncio
import os
import socket
import ssl

from eventflow.errors import EndpointError
from eventflow.http2.headers import HeadCache
from eventflow.http2.link import Link, LinkOwner
from eventflow.target import Target


async def dial(
    target: Target, context: ssl.SSLContext | None, owner: LinkOwner, heads: HeadCache
) -> Link:
    """Connect and wait for the peer's SETTINGS.

    Raises:
        EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
    """
    link = Link(owner, heads, target.max_response_bytes)
    try:
        async with asyncio.timeout(target.connect_seconds):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: link,
                target.host,
                target.port,
                ssl=context,
                server_hostname=target.tls.server_name if target.tls else None,
            )
            if context and _alpn(transport) != "h2":
                raise EndpointError("its TLS does not offer HTTP/2 (ALPN h2)")
            await link.ready
        if link.leaving:
            raise EndpointError(f"it ended the connection at once: {link.why}")
    except TimeoutError:
        link.abort("")
        what = f"not ready for calls within {target.connect_seconds:g} s"
        raise EndpointError(f"{target.authority}: {what}") from None
    except (OSError, EndpointError) as error:
        link.abort("")
        raise EndpointError(f"{target.authority}: {_reason(error)}") from error
    except asyncio.CancelledError:
        link.abort("")
        raise
    return link


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or "it ended the connection while TLS was set up"


def _alpn(transport: asyncio.Transport) -> str | None:
    tls = transport.get_extra_info("ssl_object")
    return tls.selected_alpn_protocol() if tls else None
