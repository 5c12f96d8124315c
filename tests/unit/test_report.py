"""The comment on a pull request, made of previews that the real CLI and provider wrote.

`tests/fixtures/previews/record.py` recorded them. Not shown: how GitHub displays a comment.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.pr.markdown import GITHUB_LIMIT, comment, marker
from ops.pr.report import read_previews
from ops.pr.steps import ABSENT, UNKNOWN, parse_path, read_steps
from ops.stack.environment import PROJECT

FIXTURES = PROJECT / "tests" / "fixtures" / "previews"


def recorded(name: str) -> dict[str, Any]:
    return read_previews([FIXTURES / f"{name}.json"])["dev"]


def lines_of(name: str) -> list[str]:
    return comment({"dev": recorded(name)}).splitlines()


def step_of(preview: dict[str, Any], name: str) -> dict[str, Any]:
    (step,) = [item for item in preview["steps"] if item["urn"].endswith(f"::{name}")]
    return step


def test_a_preview_without_changes_is_a_marker_and_a_verdict():
    text = comment({"dev": recorded("none")})
    assert text.strip() == f"{marker('dev')}\n### `dev`: no changes to 11 resources"


def test_the_verdict_counts_what_happens_the_gravest_first():
    assert lines_of("change")[:2] == [
        "<!-- kubemind-inference preview of dev -->",
        "### `dev`: 1 deleted, 1 replaced, 3 updated, 1 created; 6 unchanged",
    ]
    assert lines_of("create")[1] == "### `dev`: 11 created; 0 unchanged"


def test_what_is_deleted_or_replaced_comes_first_and_is_not_folded():
    text = comment({"dev": recorded("change")})
    before_details = text[: text.index("<details>")]
    first = before_details.index("**Deleted or replaced**")
    assert first < before_details.index("**GPUs and calls**")
    assert "- **delete** `ConfigMap gateway-notes`" in before_details
    assert "- **replace** `Secret gateway-key`, because of `data.key`" in before_details
    titles = re.findall(r"<summary><code>(.*?)</code>", text)
    assert [title.split()[1] for title in titles] == [
        "delete", "replace", "update", "update", "update", "create",
    ]  # fmt: skip


def test_a_change_of_a_property_is_its_path_with_both_values():
    text = comment({"dev": recorded("scale")})
    assert "```diff\n  spec.maxReplicaCount:\n- 20\n+ 24\n```" in text
    added = comment({"dev": recorded("change")})
    path = "  spec.template.spec.containers[0].args[2]:"
    assert f"{path}\n+ --drain-time-s\n" in added


def test_a_text_of_several_lines_is_a_diff_of_its_lines():
    text = comment({"dev": recorded("change")})
    assert (
        '  data["envoy.yaml"]:\n@@ -1,3 +1,3 @@\n admin: {}\n node: {}\n-limit: 1\n+limit: 2\n'
        in text
    )


@pytest.mark.parametrize("name", ["create", "change"])
def test_a_secret_is_never_shown(name):
    text = comment({"dev": recorded(name)})
    assert "[secret]" in text
    assert not re.search(r"hush|aHVzaC", text)


def test_a_property_that_nobody_marked_as_secret_is_masked_by_its_name():
    preview = recorded("create")
    inputs = step_of(preview, "cluster")["newState"]["inputs"]
    inputs |= {"kubeconfig": "users: [{token: hush}]", "list": [{"password": "hush"}]}
    text = comment({"dev": preview})
    assert "hush" not in text
    # A word within a name is no secret.
    inputs["automountServiceAccountToken"] = "shown"
    assert "automountServiceAccountToken: shown" in comment({"dev": preview})


def test_an_unknown_value_is_shown_as_unknown():
    preview = recorded("scale")
    step = step_of(preview, "triton-scaled-object")
    step["newState"]["inputs"]["spec"]["maxReplicaCount"] = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    (changed,) = [item for item in read_steps(preview) if item.operation == "update"]
    assert (changed.changes[0].old, changed.changes[0].new) == (20, UNKNOWN)


def test_a_failed_preview_says_why_first():
    lines = lines_of("error")
    assert lines[1] == "### `dev`: the preview failed"
    assert 'ConfigMap "Not A Name" is invalid' in "\n".join(lines[2:6])


def test_an_error_before_the_preview_begins_is_shown_too():
    """In the form that `make preview-json` writes where no preview was made."""
    message = "stack staging: 1 problem, nothing was touched\n  inference[0].autoscaler: reach"
    preview = {"steps": [], "diagnostics": [{"severity": "error", "message": message}]}
    text = comment({"staging": preview})
    assert f"```\n{message}\n```" in text


def test_warnings_of_the_program_are_shown_and_the_engines_noise_is_not():
    preview = recorded("change")
    noise = {"severity": "warning", "message": "warning: using pulumi-resource-x from $PATH\n"}
    preview["diagnostics"].append(noise)
    text = comment({"dev": preview})
    assert "**Warnings**\n\n```\na warning of the program\n```" in text


def test_capacity_is_shown_as_it_stands_and_as_the_program_says_it_would_be():
    text = comment({"dev": recorded("scale")})
    assert "**Capacity now**\n\n`maxReplicas` 20\n" in text
    assert "**Capacity after this change**\n\n```\ncapacity of triton-inference-deployment" in text


def with_many_resources(count: int) -> dict[str, Any]:
    preview = recorded("change")
    step = step_of(preview, "gateway-bootstrap")
    for number in range(count):
        preview["steps"].append({**copy.deepcopy(step), "urn": f"{step['urn']}-{number}"})
    return preview


@pytest.mark.parametrize("stacks", [1, 3])
def test_a_comment_fits_into_githubs_limit_and_says_what_is_left_out(stacks):
    previews = {f"s{number}": with_many_resources(1000) for number in range(stacks)}
    text = comment(previews)
    assert GITHUB_LIMIT * 0.8 < len(text) <= GITHUB_LIMIT
    for stack, preview in previews.items():
        assert marker(stack) in text
        said = re.search(rf"(\d+) more resources change .* make preview STACK={stack}\n", text)
        part = text.split(marker(stack))[1].split("<!--")[0]
        changed = sum(step["op"] != "same" for step in preview["steps"])
        assert int(said[1]) + part.count("<details>") == changed
    assert text.count("<details>") == text.count("</details>")


def test_a_small_stack_leaves_its_room_to_a_large_one():
    text = comment({"small": recorded("scale"), "large": with_many_resources(1000)})
    assert GITHUB_LIMIT * 0.95 < len(text) <= GITHUB_LIMIT


def test_a_head_that_is_too_long_by_itself_is_cut_with_a_note():
    preview = recorded("error")
    long = {"severity": "error", "message": "x" * 2 * GITHUB_LIMIT}
    preview["diagnostics"].append(long)
    text = comment({"dev": preview})
    assert len(text) <= GITHUB_LIMIT
    assert text.startswith(marker("dev"))
    assert text.endswith("see the job's log.\n")


def test_one_huge_change_is_cut_and_the_others_are_shown():
    preview = recorded("change")
    inputs = step_of(preview, "gateway-bootstrap")["newState"]["inputs"]
    inputs["data"]["envoy.yaml"] = "line\n" * 50_000
    text = comment({"dev": preview})
    assert "(cut here)" in text
    assert text.count("<details>") == 6


def test_text_that_ends_a_fence_or_is_html_stays_text():
    preview = recorded("change")
    step = step_of(preview, "gateway-bootstrap")
    step["newState"]["inputs"]["data"]["envoy.yaml"] = "a\n```\n</details><b>@everyone\n"
    step["urn"] += "<img>"
    text = comment({"dev": preview})
    assert "<img>" not in text
    assert "&lt;img&gt;" in text
    assert re.search(r"````diff\n[^`]*\n\+```\n[^`]*\n````", text)


def test_an_object_that_is_named_by_its_contents_is_updated_because_the_old_one_stays():
    preview = recorded("replace")
    [step] = [step for step in preview["steps"] if step["op"] == "replace"]
    step["oldState"]["retainOnDelete"] = True
    assert "replace" not in {one.operation for one in read_steps(preview)}


def test_a_replacement_in_three_steps_counts_once():
    """As `--show-replacement-steps` lists it."""
    preview = recorded("replace")
    step = step_of(preview, "triton-deployment")
    step["op"] = "create-replacement"
    for operation in ("delete-replaced", "replace"):
        preview["steps"].append({**step, "op": operation})
    preview["steps"].pop()
    counted = [item.operation for item in read_steps(preview) if item.operation != "same"]
    assert counted == ["replace"]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("spec.replicas", ["spec", "replicas"]),
        ("containers[0].args[12]", ["containers", 0, "args", 12]),
        ('data["envoy.yaml"]', ["data", "envoy.yaml"]),
        ('a["b\\"c"][1]', ["a", 'b"c', 1]),
    ],
)
def test_pulumis_property_paths_are_understood(path, parts):
    assert parse_path(path) == parts


def test_without_a_detailed_diff_the_inputs_are_compared():
    preview = recorded("change")
    step = step_of(preview, "gateway-deployment")
    step["detailedDiff"] = None
    (gateway,) = [item for item in read_steps(preview) if item.name == "gateway-deployment"]
    (change,) = gateway.changes
    assert change.path == "spec.template.spec.containers[0].args[2]"
    assert (change.old, change.new) == (ABSENT, "--drain-time-s")


def test_the_command_writes_one_comment_for_several_stacks(tmp_path: Path):
    other = json.loads((FIXTURES / "none.json").read_text()) | {"stack": "prod"}
    (tmp_path / "prod.json").write_text(json.dumps(other))
    command = [
        *(sys.executable, "-m", "ops", "pr-comment"),
        *(FIXTURES / "change.json", tmp_path / "prod.json", "--out", tmp_path / "all.md"),
    ]
    subprocess.run(command, cwd=PROJECT, check=True)
    text = (tmp_path / "all.md").read_text()
    assert text.index(marker("dev")) < text.index(marker("prod"))


def test_the_command_refuses_what_is_no_preview(tmp_path: Path):
    (tmp_path / "x.json").write_text("error: no stack")
    command = [sys.executable, "-m", "ops", "pr-comment", tmp_path / "x.json"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no preview can be read:")
