"""A stack of the AWS components alone, under the real CLI, engine and SDK, with the stand-in."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi import automation

from components.gpus.node_group import GpuNodeGroup, GpuNodeGroupArgs
from components.triton.eks_cluster import EksCluster
from components.triton.model_access import ModelAccess, ModelAccessArgs
from config.base import PROJECT
from config.sections.node_groups import NodeGroup
from config.sections.triton import S3Repository
from local_cluster import toolchain
from ops.stack.environment import StackEnvironment
from tests.standin_aws.world import WORLD_VARIABLE, World

CLUSTER = "inference"


@dataclass
class Bed:
    """One stack with a backend and a world of its own; its parameters may change between runs."""

    folder: Path
    nodes: dict[str, Any] = field(default_factory=dict)
    """Parameters of the node group, by field."""

    beside: list[dict[str, Any]] = field(default_factory=list)
    """Parameters of further node groups."""

    prod: bool = False
    """True to protect the groups as tier prod does."""

    @classmethod
    def make(cls, folder: Path, **nodes: Any) -> "Bed":
        """Make the stack; nothing is declared yet."""
        bed = cls(folder, nodes)
        plugin = {"name": "aws", "path": str(Path(__file__).parent)}
        project = {"name": PROJECT, "runtime": "python", "plugins": {"providers": [plugin]}}
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (folder / ".state" / "pulumi").mkdir(parents=True)
        # Neither a language host nor the Kubernetes provider: the program runs in this process.
        (folder / "bin").symlink_to(toolchain.bin_dir("pulumi"))
        bed.stack = automation.create_stack(
            "dev",
            project_name=PROJECT,
            program=bed.program,
            work_dir=str(folder),
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(folder),
                env_vars=bed.variables,
                pulumi_command=automation.PulumiCommand(root=str(folder)),
            ),
        )
        return bed

    @property
    def variables(self) -> dict[str, str]:
        """Environment of Pulumi's commands."""
        extra = {WORLD_VARIABLE: str(self.world.file)}
        stack = StackEnvironment(stack="dev", project=self.folder, extra=extra)
        stack.temporary_dir.mkdir(parents=True, exist_ok=True)
        return {**stack.own_variables(), "PATH": toolchain.path_with(self.folder / "bin")}

    @property
    def world(self) -> World:
        """The stand-in's world."""
        return World(self.folder / "world.json")

    def program(self) -> None:
        """Declare what the program declares to AWS."""
        for index, parameters in enumerate((self.nodes, *self.beside)):
            group = NodeGroup(**parameters)
            GpuNodeGroup(
                group.name,
                GpuNodeGroupArgs(
                    config=group,
                    gpus_per_node=4,
                    # As from a stack reference.
                    cluster_name=pulumi.Output.from_input(CLUSTER),
                    subnet_ids=pulumi.Output.from_input(["subnet-a", "subnet-b"]),
                    path=f"gpuNodes.groups[{index}]",
                ),
                pulumi.ResourceOptions(protect=self.prod and not group.retiring),
            )
        ModelAccess(
            "access",
            ModelAccessArgs(
                config=S3Repository(kind="s3", uri="s3://models/prod"),
                namespace="ai-namespace",
                service_account="triton",
                eks=EksCluster(name=pulumi.Output.from_input(CLUSTER)),
            ),
        )

    def keep(self) -> None:
        """Keep state and world as they are, for `restore`."""
        for kept in ("world.json", ".state"):
            _copy(self.folder / kept, self.folder / "kept" / kept)

    def restore(self) -> None:
        """Put state and world back to what was kept."""
        for kept in ("world.json", ".state"):
            _copy(self.folder / "kept" / kept, self.folder / kept)

    def up(self, *, refresh: bool = False) -> automation.UpResult:
        """`pulumi up`, by default without a refresh."""
        return self._said(lambda on: self.stack.up(refresh=refresh, on_output=on))

    def preview(self) -> automation.PreviewResult:
        """`pulumi preview` without a refresh."""
        return self._said(lambda on: self.stack.preview(on_output=on))

    def _said(self, run: Callable[[Callable[[str], None]], Any]) -> Any:
        self.output = ""

        def keep(line: str) -> None:
            self.output += line + "\n"

        return run(keep)

    def group(self) -> dict[str, Any]:
        """The one node group that exists."""
        (group,) = self.world.groups.values()
        return group

    def sizes(self) -> tuple[int, int, int]:
        """Fewest, running and most nodes of the one group."""
        size = self.group()["scalingConfig"]
        return size["minSize"], size["desiredSize"], size["maxSize"]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
