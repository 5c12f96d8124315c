"""kube-score and checkov over rendered objects; what each holds against them, in one form.

Both read annotations in the objects that silence them. Those are switched off or refused, so that
the exceptions file is the only place where a rule is set aside.
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
"""kube-score's checks that are off by default and hold for this stack."""

_KUBE_SCORE_PASSED = 7
"""kube-score's grade `almost OK`; below it are its warnings (5) and criticals (1)."""


class LinterError(OpsError):
    """A linter that did not run."""

    exit_code = 2


def kube_score(files: Sequence[Path]) -> list[Finding]:
    """Return kube-score's findings about the objects in some files, taken together.

    Raises:
        LinterError: It did not run.
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
    # kube-score's own order differs from run to run.
    return sorted(findings)


def _comments(check: dict[str, Any]) -> list[str]:
    comments: list[dict[str, str]] = check["comments"] or []
    return [": ".join(filter(None, (item["path"], item["summary"]))) for item in comments]


def checkov(folder: Path) -> list[Finding]:
    """Return checkov's findings about the objects in a folder; checkov takes 5 s to start.

    Raises:
        LinterError: It did not run, or did not understand a file.
    """
    # One folder a run: given several, checkov mixes their objects up.
    report = cast("dict[str, Any]", _json(_checkov_command(folder), "checkov"))
    # With nothing to look at it answers with a summary alone.
    results: dict[str, list[Any]] = report.get("results", {})
    if broken := results.get("parsing_errors"):
        raise LinterError(f"checkov did not understand {', '.join(broken)}")
    findings: list[Finding] = []
    for check in results.get("skipped_checks", []) + results.get("failed_checks", []):
        # checkov invents names for what it takes out of objects; the file names the object.
        resource = identity(yaml.safe_load(Path(check["file_abs_path"]).read_text()))
        if check["check_result"]["result"] == "SKIPPED":
            raise LinterError(
                f"an annotation of {resource} silences {check['check_id']}; "
                "rules are set aside in the exceptions file"
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
        said = result.stderr.strip() or result.stdout.strip()
        raise LinterError(f"{tool} did not run: {said}") from None
