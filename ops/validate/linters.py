"""Findings of kube-score and checkov about rendered objects, in one form.

Both read annotations in the objects that silence rules. These are switched off or refused, so that
the exceptions file is the only place for exceptions.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from local_cluster import toolchain
from local_cluster.uv import ensure_uv
from ops.errors import OpsError
from ops.validate.schema import KUBERNETES_VERSION, Finding, identity

CHECKOV_PROJECT = Path(__file__).parent / "checkov"

_KUBE_SCORE_OPTIONAL = (
    "container-memory-requests-equal-limits",
    "container-ports-check",
    "container-seccomp-profile",
)
"""kube-score's checks that are off by default and on here."""

_KUBE_SCORE_PASSED = 7
"""kube-score's grade `almost OK`; warnings (5) and criticals (1) are below it."""


class LinterError(OpsError):
    """A linter that did not run."""

    exit_code = 2


def kube_score(files: Sequence[Path]) -> list[Finding]:
    """Return kube-score's findings about the objects in some files, taken together.

    Raises:
        LinterError: The linter did not run.
    """
    binary = toolchain.ensure("kube-score")["kube-score"]
    command = [
        *(str(binary), "score", "--output-format", "json"),
        *("--kubernetes-version", f"v{KUBERNETES_VERSION}"),
        *(f"--enable-optional-test={check}" for check in _KUBE_SCORE_OPTIONAL),
        *("--disable-ignore-checks-annotations", "--disable-optional-checks-annotations"),
        *map(str, files),
    ]
    findings: list[Finding] = []
    for item in cast("list[dict[str, Any]]", _json(command, "kube-score")):
        metadata: dict[str, Any] = item["object_meta"]
        parts = (item["type_meta"]["kind"], metadata.get("namespace"), metadata["name"])
        resource = "/".join(part for part in parts if part)
        checks: list[dict[str, Any]] = item["checks"] or []
        for check in checks:
            if check["skipped"] or check["grade"] >= _KUBE_SCORE_PASSED:
                continue
            findings += [
                Finding("kube-score", check["check"]["id"], resource, message)
                for message in _comments(check) or [check["check"]["comment"]]
            ]
    # kube-score's order differs from run to run.
    return sorted(findings)


def _comments(check: dict[str, Any]) -> list[str]:
    comments: list[dict[str, str]] = check["comments"] or []
    return [": ".join(filter(None, (item["path"], item["summary"]))) for item in comments]


def checkov(folder: Path) -> list[Finding]:
    """Return checkov's findings about the objects in a folder; checkov takes 5 s to start.

    Raises:
        LinterError: The linter did not run, or could not parse a file.
    """
    # One folder a run: with several, checkov mixes up their objects.
    report = cast("dict[str, Any]", _json(_checkov_command(folder), "checkov"))
    # Without any object checkov prints a summary only.
    results: dict[str, list[Any]] = report.get("results", {})
    if broken := results.get("parsing_errors"):
        raise LinterError(f"checkov cannot parse {', '.join(broken)}")
    findings: list[Finding] = []
    for check in results.get("skipped_checks", []) + results.get("failed_checks", []):
        # checkov invents names for parts of objects; the file has the object's own.
        resource = identity(yaml.safe_load(Path(check["file_abs_path"]).read_text()))
        if check["check_result"]["result"] == "SKIPPED":
            raise LinterError(
                f"an annotation of {resource} silences {check['check_id']}; "
                "put exceptions into the exceptions file"
            )
        findings.append(Finding("checkov", check["check_id"], resource, check["check_name"]))
    return findings


def _checkov_command(folder: Path) -> list[str]:
    return [
        *(str(ensure_uv()), "run", "--frozen", "--quiet", "--project", str(CHECKOV_PROJECT)),
        *("checkov", "--framework", "kubernetes", "--directory", str(folder.resolve())),
        *("--output", "json", "--compact", "--soft-fail", "--skip-download"),
    ]


def _json(command: Sequence[str], tool: str) -> object:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(result.stdout)
    except json.JSONDecodeError:
        message = result.stderr.strip() or result.stdout.strip()
        raise LinterError(f"{tool} did not run: {message}") from None
