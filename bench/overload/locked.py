"""The stack of a checkout behind a locked door, and the load client's way through it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Secret

from bench import provisioning
from bench.door import CALLERS_SECRET, CERTIFICATE_SECRET, LOCKED, Material, issue
from components.gateway.envoy.tls import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from config.base import PROJECT
from config.settings import Settings
from ops.stack import lifecycle
from ops.stack.cluster_spec import cluster_of
from ops.stack.environment import StackEnvironment

_FIELD_MANAGER = "bench"


@contextmanager
def locked(env: StackEnvironment, settings: Settings, folder: Path) -> Generator[tuple[str, ...]]:
    """Lock the first stack's gateway for the block; yield options of `eventflow` to get in.

    Args:
        env: Environment of a stack that is provisioned on a local cluster.
        settings: Its parameters.
        folder: Existing folder for the caller's files.
    """
    stack = settings.inference[0]
    files = issue(stack.server_name)
    secrets = {
        CERTIFICATE_SECRET: {CERTIFICATE_FILE: files.certificate, KEY_FILE: files.key},
        CALLERS_SECRET: {CA_FILE: files.authority},
    }
    client: Any = cluster_of(env).client()
    for name, data in secrets.items():
        text = {key: pem.decode() for key, pem in data.items()}
        where = ObjectMeta(name=name, namespace=stack.namespace)
        client.apply(Secret(metadata=where, stringData=text), field_manager=_FIELD_MANAGER)
    before = env.stack_file.read_text()
    document = yaml.safe_load(before)
    first = document["config"][f"{PROJECT}:inference"][0]
    first["gateway"] = {**first.get("gateway", {}), **LOCKED.gateway}
    try:
        env.stack_file.write_text(yaml.safe_dump(document))
        _provision(env)
        yield _options(files, stack.server_name, folder)
    finally:
        env.stack_file.write_text(before)
        _provision(env)
        for name in secrets:
            client.delete(Secret, name, namespace=stack.namespace)


def _provision(env: StackEnvironment) -> None:
    lifecycle.prepare(env)
    provisioning.up(env)


def _options(files: Material, server: str, folder: Path) -> tuple[str, ...]:
    contents = {
        "--ca": files.authority,
        "--cert": files.caller_certificate,
        "--key": files.caller_key,
        "--token-file": LOCKED.token().encode(),
    }
    words = ["--server-name", server]
    for option, content in contents.items():
        path = folder / option.removeprefix("--")
        path.write_bytes(content)
        words += [option, str(path)]
    return tuple(words)
