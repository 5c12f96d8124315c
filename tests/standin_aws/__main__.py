"""Serves the stand-in as a Pulumi plugin: the port on standard output, then until it is ended."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.standin_aws.provider import Provider
from tests.standin_aws.world import WORLD_VARIABLE, World


def main() -> None:
    # One thread: the world is one file.
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    provider = Provider(World(Path(os.environ[WORLD_VARIABLE])))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
