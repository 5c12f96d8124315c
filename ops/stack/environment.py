"""Where a stack's Pulumi state lies, and the environment in which its commands run."""

import functools
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import toolchain
from config.base import PROJECT as PULUMI_PROJECT
from config.base import PROJECT_FOLDER as PROJECT
from config.base import STATE_FOLDER
from config.platform import LocalPlatform
from config.settings import Settings

DEV_PASSPHRASE = "kubemind-dev"  # noqa: S105 - see below
"""Dev's state holds no secret and never leaves the machine, so its passphrase is no secret."""

DEV_STACK = "dev"
"""The one stack with a backend of its own, in the project's state folder."""


@dataclass(frozen=True, kw_only=True)
class StackEnvironment:
    """One stack in one checkout, with the place of its state."""

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
        return self.is_dev and isinstance(settings.platform, LocalPlatform)

    @property
    def state_dir(self) -> Path:
        """The ignored folder that holds everything local."""
        return self.project / STATE_FOLDER

    @property
    def backend_dir(self) -> Path:
        """Dev's file backend."""
        return self.state_dir / "pulumi"

    @property
    def checkpoint(self) -> Path:
        """Dev's state; there once the stack was made."""
        return self.backend_dir / ".pulumi" / "stacks" / PULUMI_PROJECT / f"{self.stack}.json"

    @property
    def pulumi_home(self) -> Path:
        """Where dev's Pulumi keeps plugins and its own files."""
        return self.state_dir / "pulumi-home"

    @property
    def temporary_dir(self) -> Path:
        """Where dev's commands put temporary files."""
        return self.state_dir / "tmp"

    @property
    def stack_file(self) -> Path:
        """The stack's configuration."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    def own_variables(self) -> dict[str, str]:
        """The variables that this stack sets, beside the tools on PATH."""
        if not self.is_dev:
            return dict(self.extra)
        return {
            # Instead of selecting it each time, which costs as long as a command of its own.
            "PULUMI_STACK": self.stack,
            "PULUMI_BACKEND_URL": f"file://{self.backend_dir}",
            "PULUMI_CONFIG_PASSPHRASE": DEV_PASSPHRASE,
            "PULUMI_HOME": str(self.pulumi_home),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            # Nothing that dev needs is downloaded: it runs with no network but the registries'.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # As `make up` runs it: one object that is refused keeps no other away.
            "PULUMI_CONTINUE_ON_ERROR": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # The Kubernetes provider leaves a copy of its kubeconfig there each time.
            "TMPDIR": str(self.temporary_dir),
            # kubectl would keep what it discovers under ~/.kube, which is the user's.
            "KUBECACHEDIR": str(self.state_dir / "kubectl"),
            **self.extra,
        }

    def variables(self) -> dict[str, str]:
        """The whole environment of a command, with the pinned tools first on PATH."""
        if self.is_dev:
            self.temporary_dir.mkdir(parents=True, exist_ok=True)
        path = toolchain.path_with(self._tools)
        return {**self._inherited(), **self.own_variables(), "PATH": path}

    def _inherited(self) -> dict[str, str]:
        """The user's variables; for another stack than dev without those that `make env` set.

        In dev's shell, prod would else be made in dev's backend, under dev's public passphrase.
        """
        if self.is_dev:
            return dict(os.environ)
        devs = replace(self, stack=DEV_STACK, extra={}).own_variables()
        return {name: value for name, value in os.environ.items() if devs.get(name) != value}

    @functools.cached_property
    def _tools(self) -> Path:
        """The pinned tools, linked together; looked for once, since each on PATH is run for it."""
        directory = toolchain.bin_dir("cli", "kubectl")
        if self.is_dev:
            toolchain.link_plugins(self.pulumi_home)
        return directory
