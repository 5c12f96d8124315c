"""nginx and HAProxy, as their documentation balances gRPC over a list of servers."""

from pathlib import Path

from bench.rivals.bed import DEADLINE_SECONDS, DNS_PORT, HOST, Bed
from local_cluster.serving import debian

_STREAMS = 1_024
"""Streams on one connection of a caller; the defaults are 128 and 100."""


def _loader(folder: Path, binary: str) -> list[str]:
    """Return the beginning of a command that uses a Debian package's own libraries."""
    libraries = [folder / place / "x86_64-linux-gnu" for place in ("lib", "usr/lib")]
    return [
        str(folder / "lib64/ld-linux-x86-64.so.2"),
        "--library-path",
        ":".join(map(str, libraries)),
        str(folder / binary),
    ]


def nginx_config(bed: Bed, port: int, folder: Path, ready: int) -> str:
    """Return nginx's configuration for the ready replicas.

    The free nginx of Debian reads the names of an upstream once: who runs it reloads it for each
    change, as its ingress controllers did.
    """
    servers = "\n".join(f"    server {target} max_fails=0;" for target in bed.targets[:ready])
    return f"""daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 65536; }}
worker_rlimit_nofile 131072;
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream replicas {{
    least_conn;
{servers}
    keepalive 1024;
  }}
  server {{
    listen {HOST}:{port} http2;
    http2_max_concurrent_streams {_STREAMS};
    keepalive_requests 1000000000;
    client_max_body_size 0;
    location / {{
      grpc_pass grpc://replicas;
      grpc_read_timeout {DEADLINE_SECONDS:g}s;
    }}
  }}
}}
"""


def nginx_command(bed: Bed, port: int, folder: Path) -> list[str]:
    """Write nginx's configuration, and return its command."""
    path = folder / "nginx.conf"
    path.write_text(nginx_config(bed, port, folder, bed.fleet.ready))
    unpacked = debian.unpack("nginx", ("nginx",), print, closure=True)
    return [*_loader(unpacked, "usr/sbin/nginx"), "-c", str(path), "-e", str(folder / "nginx.log")]


def haproxy_command(bed: Bed, port: int, folder: Path) -> list[str]:
    """Write HAProxy's configuration, and return its command."""
    path = folder / "haproxy.cfg"
    path.write_text(f"""global
  nbthread 1
  maxconn 8000
  tune.h2.max-concurrent-streams {_STREAMS}
defaults
  mode http
  timeout connect 250ms
  timeout client 1h
  timeout server {DEADLINE_SECONDS:g}s
frontend callers
  bind {HOST}:{port} proto h2
  default_backend replicas
resolvers bed
  nameserver bed {HOST}:{DNS_PORT}
  accepted_payload_size 8192
  hold valid 1s
backend replicas
  balance leastconn
  server-template replica {bed.fleet.replicas} {bed.ready_name}:{bed.grpc_port} proto h2 \
    resolvers bed resolve-prefer ipv4 init-addr none
""")
    unpacked = debian.unpack("haproxy", ("haproxy",), print, closure=True)
    return [*_loader(unpacked, "usr/sbin/haproxy"), "-db", "-f", str(path)]
