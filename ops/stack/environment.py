"""Folders of a stack's Pulumi state, and the environment of its commands."""

import functools
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.base import PROJECT as PULUMI_PROJECT
from config.base import PROJECT_FOLDER as PROJECT
from config.base import STATE_FOLDER
from config.sections.platform import LocalPlatform
from config.settings import Settings
from local_cluster import toolchain

DEV_PASSPHRASE = "kubemind-dev"  # noqa: S105 - see below
"""Passphrase of dev's state, which holds no secret and never leaves the machine."""

DEV_STACK = "dev"
"""The only stack whose backend is in the project's state folder."""


@dataclass(frozen=True, kw_only=True)
class StackEnvironment:
    """A stack in a checkout, and the folders of its state."""

    stack: str
    """Name of the Pulumi stack."""

    project: Path = PROJECT
    """Folder with Pulumi.yaml."""

    extra: dict[str, str] = field(default_factory=dict[str, str])
    """Further variables, for tests."""

    @property
    def is_dev(self) -> bool:
        """True if the state lies in the project's state folder, not in the user's own backend."""
        return self.stack == DEV_STACK

    def is_local(self, settings: Settings) -> bool:
        """Return True if the stack goes to this checkout's own cluster."""
        # By kind: the embedded cluster belongs to this checkout.
        return self.is_dev and isinstance(settings.platform, LocalPlatform)

    @property
    def state_dir(self) -> Path:
        """The folder for everything local; git ignores it."""
        return self.project / STATE_FOLDER

    @property
    def backend_dir(self) -> Path:
        """Dev's file backend."""
        return self.state_dir / "pulumi"

    @property
    def checkpoint(self) -> Path:
        """File of dev's state; it exists once the stack was created."""
        return self.backend_dir / ".pulumi" / "stacks" / PULUMI_PROJECT / f"{self.stack}.json"

    @property
    def pulumi_home(self) -> Path:
        """Folder for the plugins and files of dev's Pulumi."""
        return self.state_dir / "pulumi-home"

    @property
    def temporary_dir(self) -> Path:
        """Folder for the temporary files of dev's commands."""
        return self.state_dir / "tmp"

    @property
    def stack_file(self) -> Path:
        """File of the stack's configuration."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    def own_variables(self) -> dict[str, str]:
        """Return the variables that this stack sets, without PATH."""
        if not self.is_dev:
            return dict(self.extra)
        return {
            # Selecting the stack for each command would take as long as the command.
            "PULUMI_STACK": self.stack,
            "PULUMI_BACKEND_URL": f"file://{self.backend_dir}",
            "PULUMI_CONFIG_PASSPHRASE": DEV_PASSPHRASE,
            "PULUMI_HOME": str(self.pulumi_home),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            # Dev downloads no plugin: it needs no network but the package registries.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # As in `make up`: a refused object does not keep the others away.
            "PULUMI_CONTINUE_ON_ERROR": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # The Kubernetes provider leaves a copy of its kubeconfig there in every run.
            "TMPDIR": str(self.temporary_dir),
            # kubectl would keep its discovery cache in the user's ~/.kube.
            "KUBECACHEDIR": str(self.state_dir / "kubectl"),
            **self.extra,
        }

    def variables(self) -> dict[str, str]:
        """Return the whole environment of a command, with the pinned tools first on PATH."""
        if self.is_dev:
            self.temporary_dir.mkdir(parents=True, exist_ok=True)
        path = toolchain.path_with(self._tools)
        return {**self._inherited(), **self.own_variables(), "PATH": path}

    def _inherited(self) -> dict[str, str]:
        """Return the user's variables; for other stacks than dev without those of dev's `make env`.

        Otherwise, in dev's shell, prod would be created in dev's backend, with dev's public
        passphrase.
        """
        if self.is_dev:
            return dict(os.environ)
        devs = replace(self, stack=DEV_STACK, extra={}).own_variables()
        return {name: value for name, value in os.environ.items() if devs.get(name) != value}

    @functools.cached_property
    def _tools(self) -> Path:
        """Folder with links to the pinned tools; cached, as the search runs each tool on PATH."""
        directory = toolchain.bin_dir("cli", "kubectl")
        if self.is_dev:
            toolchain.link_plugins(self.pulumi_home)
        return directory
