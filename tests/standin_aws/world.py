"""The world of the stand-in: what exists, which calls changed it, and which nodes ended."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORLD_VARIABLE = "STANDIN_AWS_WORLD"
"""Environment variable that names the world's file."""

Properties = dict[str, Any]

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"


@dataclass(frozen=True)
class World:
    """A JSON file; a file that does not exist is an empty account."""

    file: Path

    def read(self) -> dict[str, Any]:
        """Everything in it.

        `partition` is that of the account, `version` the cluster's version of Kubernetes, and
        `releases` the newest release of each family of AMIs. `resources` holds what exists by type
        and id, `calls` what changed it (operation, type, id), `ended` the nodes that ended by
        group. `refuse_updates` makes EKS refuse every change of a node group with that message.
        """
        empty: dict[str, Any] = {
            "partition": "aws",
            "version": "1.34",
            "releases": {"AL2023": "1.34.2-20260709", "BOTTLEROCKET": "1.58.0-2f6a8c1e"},
            "resources": {},
            "calls": [],
            "ended": {},
            "refuse_updates": "",
        }
        return {**empty, **json.loads(self.file.read_text())} if self.file.exists() else empty

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Change it, as its block does: one writer at a time, and readers see whole files."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self.read()
            yield content
            new = self.file.with_suffix(".new")
            new.write_text(json.dumps(content, indent=1))
            new.replace(self.file)

    def of(self, typ: str) -> dict[str, Properties]:
        """Everything of a type, by id."""
        return self.read()["resources"].get(typ, {})

    @property
    def groups(self) -> dict[str, Properties]:
        """The node groups by name."""
        return {group["nodeGroupName"]: group for group in self.of(NODE_GROUP).values()}

    def scale(self, name: str, nodes: int) -> None:
        """Move a group's number of nodes, as the Cluster Autoscaler does between runs."""
        with self.change() as content:
            for group in content["resources"][NODE_GROUP].values():
                if group["nodeGroupName"] == name:
                    group["scalingConfig"]["desiredSize"] = nodes
