"""A checkout of its own for a test: the project's files as they are, with a state of its own."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.common.labels import PART_OF, PART_OF_LABEL
from config.base import PROJECT as PULUMI_PROJECT
from config.sections.platform import LOCAL_KUBECONFIG, LOCAL_REGISTRY
from ops.stack.environment import PROJECT, StackEnvironment
from tests.envoy.harness.waiting import wait_until

CONFIG_PREFIX = f"{PULUMI_PROJECT}:"

_LONGEST_SECONDS = 400
"""Time after which a command hangs; pytest ends a test after 600 s, without the output."""

_ENVIRONMENTS = (".venv", "ops/validate/checkov/.venv")
"""Entries that are not copied: uv's installation, and files that are not the project's."""


_KINDS = (
    "deployments,daemonsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,"
    "poddisruptionbudgets,networkpolicies,scaledobjects,namespaces,clusterroles,"
    "clusterrolebindings,persistentvolumeclaims,pods"
)


@dataclass
class Checkout:
    """A real git checkout with a `.state` of its own, driven as a user drives it."""

    path: Path
    stack: str = "dev"
    extra: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, path: Path, stack: str = "dev") -> "Checkout":
        """Copy the project's files (tracked, and new ones not ignored) and commit them."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            source = PROJECT / name
            if source.is_file():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
                target.chmod(source.stat().st_mode)
        for name in _ENVIRONMENTS:
            if (PROJECT / name).is_dir():
                (path / name).symlink_to(PROJECT / name)
        checkout = cls(path, stack)
        checkout.git("init", "-q")
        # The links themselves: a pattern for directories does not match them.
        (path / ".git" / "info" / "exclude").write_text(".venv\n")
        checkout.git("add", "-A")
        checkout.git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "checkout")
        return checkout

    def git(self, *arguments: str) -> str:
        """The output of a git command in the checkout."""
        return subprocess.run(
            ["git", *arguments], cwd=self.path, capture_output=True, text=True, check=True
        ).stdout

    @property
    def env(self) -> StackEnvironment:
        """The stack's environment in this checkout."""
        return StackEnvironment(stack=self.stack, project=self.path, extra=self.extra)

    @property
    def variables(self) -> dict[str, str]:
        """Environment of bare `pulumi` and `kubectl` commands here."""
        return self.env.variables()

    @property
    def kubeconfig(self) -> Path:
        """The local cluster's."""
        return self.path / LOCAL_KUBECONFIG

    def target(
        self,
        name: str,
        *,
        env: Mapping[str, str] | None = None,
        longest_seconds: float = _LONGEST_SECONDS,
        **variables: str,
    ) -> "Ran":
        """Run one of make's targets, as a user does."""
        # What a `make test` that runs this was given is not meant for it.
        theirs = ("MAKE", "MFLAGS")
        own = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
        return Ran.run(
            ["make", "-s", name, *(f"{key}={value}" for key, value in variables.items())],
            self.path,
            {**own, **self.extra, **(env or {})},
            longest_seconds,
        )

    def ops(self, command: str, *arguments: str, env: Mapping[str, str] | None = None) -> "Ran":
        """Run the target of a life-cycle command, with arguments for the command behind it."""
        return self.target(command, env=env, STACK=self.stack, ARGS=shlex.join(arguments))

    def up(self, *arguments: str) -> "Ran":
        """`make up`."""
        return self.ops("up", *arguments)

    def pulumi(self, *arguments: str, env: Mapping[str, str] | None = None) -> "Ran":
        """Bare `pulumi`."""
        return Ran.run(
            ["pulumi", *arguments, "--non-interactive"],
            self.path,
            {**self.variables, **(env or {})},
        )

    def preview_steps(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the operations of a preview by `type::name`, without refreshes and sames."""
        digest = json.loads(self.pulumi("preview", "--json", env=env).ok().stdout)
        return {
            identity(step["urn"]): step["op"]
            for step in digest["steps"]
            if step["op"] not in ("same", "refresh")
        }

    def kubectl(self, *arguments: str) -> "Ran":
        """`kubectl` against the local cluster."""
        return Ran.run(
            [
                "kubectl",
                "--kubeconfig",
                str(self.kubeconfig),
                *arguments,
            ],
            self.path,
            self.variables,
        )

    def await_condition(self, condition: str, *objects: str) -> None:
        """Wait until a condition of each object, `kind/name`, is True.

        `kubectl wait` fails at an object that has no conditions yet, as a new one has not.
        """

        def holds(name: str) -> bool:
            found = json.loads(self.kubectl("get", name, "-o", "json").ok().stdout)
            conditions = found.get("status", {}).get("conditions") or []
            return {"True"} == {c["status"] for c in conditions if c["type"] == condition}

        for name in objects:
            wait_until(f"{name} is {condition}", lambda name=name: holds(name), 60)

    def objects(self) -> set[str]:
        """Name of every object of the local cluster, of the kinds that the stack makes."""
        return set(self.kubectl("get", _KINDS, "-A", "-o", "name").ok().stdout.split())

    def delete_namespaces(self) -> None:
        """Delete the namespaces that bare `pulumi destroy` leaves."""
        self.kubectl("delete", "namespace", "-l", f"{PART_OF_LABEL}={PART_OF}").ok()

    def delete_definitions(self, *selection: str) -> None:
        """Delete CustomResourceDefinitions by name or label; all of them without a selection.

        The API server first lists the objects of each. If that list is the first one, it fails, and
        the server may stop for 5 minutes: its finalizer ignores the conflict with its own
        write (kubernetes/kubernetes, apiextensions-apiserver, `crd_finalizer.go`).
        """
        prefix = "customresourcedefinition.apiextensions.k8s.io/"
        shown = self.kubectl("get", "crd", *selection, "-o", "name").ok().stdout.split()
        kinds = [name.removeprefix(prefix) for name in shown]
        if not kinds:
            return
        listed = ("get", ",".join(kinds), "--all-namespaces", "--output", "name")
        wait_until("the API server lists them", lambda: self.kubectl(*listed).code == 0, 60)
        self.kubectl("delete", "crd", *kinds).ok()

    def set_config(self, **sections: Any) -> None:
        """State parameters in the stack file, beside those that it states already."""
        file = self.env.stack_file
        document = yaml.safe_load(file.read_text()) or {}
        config = document.setdefault("config", {})
        for name, value in sections.items():
            config[CONFIG_PREFIX + name] = _merged(config.get(CONFIG_PREFIX + name), value)
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    def set_platform(self, **platform: Any) -> None:
        """State another cluster, which cannot have the images that the local one is given."""
        self.set_config(platform=platform)
        file = self.env.stack_file
        file.write_text(yaml.safe_dump(_for_any(yaml.safe_load(file.read_text())), sort_keys=False))

    def reset_config(self) -> None:
        """Take the stack file back to what is committed."""
        self.git("checkout", "-q", "--", self.env.stack_file.name)


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    arguments: list[str]
    code: int
    stdout: str
    stderr: str

    @classmethod
    def run(
        cls,
        arguments: list[str],
        cwd: Path,
        env: Mapping[str, str],
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> "Ran":
        """Run to the end; interrupt it and fail with its output if there is none."""
        running = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with running:
            try:
                stdout, stderr = running.communicate(timeout=longest_seconds)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGINT)
                stdout, stderr = running.communicate()
                pytest.fail(f"{shlex.join(arguments)} did not end:\n{stdout}{stderr}")
        return cls(arguments, running.returncode, stdout, stderr)

    @property
    def output(self) -> str:
        """Everything that it said."""
        return self.stdout + self.stderr

    def ok(self) -> "Ran":
        """This, after it went well."""
        assert self.code == 0, f"{' '.join(self.arguments)} -> {self.code}\n{self.output}"
        return self

    def failed(self) -> "Ran":
        """This, after it failed in one clear message."""
        assert self.code != 0, f"{' '.join(self.arguments)} went well\n{self.output}"
        assert "Traceback" not in self.output, self.output
        return self


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        rest = old[len(new) :]
        return [*(_merged(*pair) for pair in zip(old, new, strict=False)), *new[len(old) :], *rest]
    return new


def _for_any(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not str(v).startswith(f"{LOCAL_REGISTRY}/")}
        return {key: _for_any(below) for key, below in kept.items()}
    return [_for_any(item) for item in value] if isinstance(value, list) else value


def identity(urn: str) -> str:
    """Return `type::name` of a URN, without the parents' types."""
    types, name = urn.split("::")[2:4]
    return f"{types.rpartition('$')[2]}::{name}"
