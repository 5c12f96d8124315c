"""An S3 server on this machine (moto), and the AWS CLI beside it; both from the project `s3`."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local_cluster.uv import ensure_uv

_TOOLS = Path(__file__).parent / "s3"

_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class S3Server:
    """One that runs."""

    address: str

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Start it on a free port of the loopback, and end it."""
        sync = [ensure_uv(), "sync", "--frozen", "--quiet", "--project", _TOOLS]
        subprocess.run(sync, check=True)
        process = subprocess.Popen(
            [_TOOLS / ".venv/bin/python", "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        try:
            # moto prints a line of its own first.
            port = next(line.strip() for line in process.stdout if line.strip().isdigit())
            yield cls(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Make a bucket, and objects in it by their keys."""
        for key, content in {"": b"", **objects}.items():
            request = urllib.request.Request(
                f"{self.address}/{bucket}/{key}",
                data=content,
                # By default it is a form's, which the server takes apart.
                headers={"Content-Type": "application/octet-stream"},
                method="PUT",
            )
            urllib.request.urlopen(request).close()

    def put_folder(self, bucket: str, prefix: str, folder: Path) -> None:
        """Store a folder as `aws s3 sync` would: files alone."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.put(bucket, {f"{prefix}/{f.relative_to(folder)}": f.read_bytes() for f in files})

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which the AWS CLI is found and asks this server."""
        return {
            "PATH": f"{_TOOLS}/.venv/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            # An identity, which keys come before.
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/none",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.address,
        }
