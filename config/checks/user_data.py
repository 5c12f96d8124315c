"""Checks that nodes can read their user data."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import cast

import yaml

from config.problem import Finding, refuse
from config.sections.node_groups import NodeGroup
from config.settings import Settings
from config.user_data import MAX_BYTES, stack_settings, user_data


@refuse
def node_user_data(settings: Settings) -> Iterator[Finding]:
    """Nodes can read the further user data, and it sets nothing that a parameter sets."""
    for group, pool in settings.gpu_nodes.groups_at:
        key = pool.key("userData")
        keys: dict[str, object] = {key: group.user_data, pool.key("amiType"): group.ami_type}
        if not group.user_data:
            continue
        wrong = _unreadable(group) or _twice(settings, group)
        if wrong:
            yield Finding(keys=keys, reason=wrong, fix=f"correct {key}, or unset it")
            continue
        size = len(user_data(group, settings.gpu_sharing).encode())
        if size > MAX_BYTES:
            yield Finding(
                keys={key: f"{len(group.user_data.encode())} bytes"},
                reason=f"the user data has {size} bytes, and EC2 takes {MAX_BYTES} at most",
                fix=f"shorten {key}: load the rest from elsewhere",
            )


def _unreadable(group: NodeGroup) -> str:
    """Return the reason why nodes cannot read a group's further user data; empty if they can."""
    text = group.user_data or ""
    if group.brings_device_plugin:
        try:
            stated = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            return f"Bottlerocket takes TOML alone, and this is none: {error}"
        if set(stated) != {"settings"}:
            return "Bottlerocket takes tables of [settings.…] alone"
        return ""
    if text.startswith("#!"):
        return ""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        config = None
    # Media types of cloud-init are among the texts that are none.
    is_table = isinstance(config, Mapping)
    known = is_table and cast("Mapping[str, object]", config).get("kind") == "NodeConfig"
    return "" if known else "it is neither a script, which begins with #!, nor a NodeConfig"


def _twice(settings: Settings, group: NodeGroup) -> str:
    """Return the reason why Bottlerocket refuses tables that are stated twice; empty if none is."""
    if not group.brings_device_plugin:
        return ""
    try:
        tomllib.loads(user_data(group, settings.gpu_sharing))
    except tomllib.TOMLDecodeError as error:
        tables = [
            line
            for line in stack_settings(group, settings.gpu_sharing).splitlines()
            if line.startswith("[")
        ]
        return (
            f"localDisks, fastImagePull and gpuSharing already set {', '.join(tables)}, and TOML "
            f"takes each table once: {error}"
        )
    return ""
