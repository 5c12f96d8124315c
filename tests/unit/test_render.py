"""Files that `make render` writes, shown on small programs under mocks.

Not shown here: that a cluster accepts the files (the integration tests compare them with one), nor
that the project's own stacks render (tests/static).
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pulumi
import pytest
import yaml

from config.sections.platform import PLATFORM_OUTPUTS
from local_cluster import toolchain
from ops.__main__ import main
from ops.commands import render as command
from ops.render.files import to_yaml
from ops.render.program import RenderError, declare
from ops.render.render import render
from tests.unit.little_program import CONFIG_MAP, contents, read, write_program


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program with its project and stack file; gives back the project's folder."""
    return partial(write_program, tmp_path / "project")


def test_each_object_has_a_file_named_by_namespace_kind_and_name(program, tmp_path):
    project = program("""
import pulumi_kubernetes as k8s
k8s.core.v1.Namespace("ns", metadata={"name": "apps"})
k8s.core.v1.Service("s", metadata={"name": "front", "namespace": "apps"}, spec={})
k8s.rbac.v1.ClusterRole("r", metadata={"name": "apps:reader"})
k8s.core.v1.ConfigMap("c", metadata={"name": "homeless"})
""")
    render("dev", tmp_path / "out", project)
    assert set(contents(tmp_path / "out")) == {
        ".render.json",
        "kustomization.yaml",
        "cluster/namespace-apps.yaml",
        "cluster/clusterrole-apps_reader.yaml",
        "apps/service-front.yaml",
        "default/configmap-homeless.yaml",
    }


def test_namespaces_come_first_where_the_folder_is_applied(program, tmp_path):
    project = program(CONFIG_MAP + '\nk8s.core.v1.Namespace("ns", metadata={"name": "apps"})\n')
    render("dev", tmp_path / "out", project)
    listed = read(tmp_path / "out" / "kustomization.yaml")["resources"]
    assert listed == ["cluster/namespace-apps.yaml", "apps/configmap-settings.yaml"]


def test_whole_numbers_are_whole_again_and_texts_stay_texts(program, tmp_path):
    project = program("""
import pulumi_kubernetes as k8s
k8s.apiextensions.CustomResource(
    "x", api_version="a.b/v1", kind="X", metadata={"name": "x"},
    spec={"whole": 16, "part": 0.5, "text": "16", "list": [1, 2.5], "yes": True},
)
""")
    render("dev", tmp_path / "out", project)
    spec = read(tmp_path / "out" / "default" / "x-x.yaml")["spec"]
    assert repr(spec) == repr(
        {"list": [1, 2.5], "part": 0.5, "text": "16", "whole": 16, "yes": True}
    )


@pytest.mark.tools
@pytest.mark.parametrize(
    "text",
    ["12e4", "1e3", "0x1f", "0o17", "1_000", "y", "N", "yes", "null", "~", "1.5", "", "a: b"],
)
def test_a_text_is_a_text_to_kubernetes_yaml_parser_too(text, tmp_path):
    """By kubectl's own parser, which reads some plain words differently than PyYAML."""
    name = "configmap.yaml"
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    (tmp_path / name).write_text(to_yaml({**document, "data": {"key": text}}))
    (tmp_path / "kustomization.yaml").write_text(to_yaml({"resources": [name]}))
    kubectl = toolchain.ensure("kubectl")["kubectl"]
    read_back = subprocess.run(
        [kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True
    ).stdout
    assert yaml.safe_load(read_back)["data"] == {"key": text}


def test_a_render_works_after_an_event_loop_has_ended_in_its_thread(program, tmp_path):
    async def nothing() -> None: ...

    asyncio.run(nothing())
    render("dev", tmp_path / "out", program(CONFIG_MAP))
    assert "apps/configmap-settings.yaml" in contents(tmp_path / "out")


def test_a_secrets_values_are_masked_and_nothing_else_of_the_object(program, tmp_path):
    project = program(
        """
import pulumi, pulumi_kubernetes as k8s
config = pulumi.Config()
k8s.core.v1.Secret(
    "s", metadata={"name": "s", "namespace": "apps"},
    string_data={"password": "plain-in-the-program", "token": config.require_secret("token")},
)
k8s.core.v1.ConfigMap(
    "c", metadata={"name": "c", "annotations": {"token": config.require_secret("token")}}
)
""",
        stack="config: {little:token: {secure: AAABBB}}",
    )
    render("dev", tmp_path / "out", project)
    secret = read(tmp_path / "out" / "apps" / "secret-s.yaml")
    assert secret["stringData"] == {"password": "[secret]", "token": "[secret]"}
    # An encrypted value is not opened at all: it is a placeholder for the program, too.
    config_map = read(tmp_path / "out" / "default" / "configmap-c.yaml")
    assert config_map["metadata"] == {"annotations": {"token": "placeholder"}, "name": "c"}


def test_the_platforms_outputs_are_placeholders_that_say_so(program, tmp_path):
    names = list(PLATFORM_OUTPUTS)
    project = program(f"""
import pulumi, pulumi_kubernetes as k8s
platform = pulumi.StackReference("organization/platform/prod")
outputs = {{name: pulumi.Output.json_dumps(platform.require_output(name)) for name in {names}}}
k8s.core.v1.ConfigMap("c", metadata={{"name": "c"}}, data=outputs)
""")
    render("dev", tmp_path / "out", project)
    data = read(tmp_path / "out" / "default" / "configmap-c.yaml")["data"]
    assert set(data) == set(names)
    assert all("placeholder" in value for value in data.values())


def test_aws_resources_are_summed_up_with_what_aws_would_compute_as_placeholders(program, tmp_path):
    project = program("""
import pulumi_aws as aws
role = aws.iam.Role("role", assume_role_policy="{}")
aws.eks.NodeGroup(
    "nodes", cluster_name="c", node_role_arn=role.arn, subnet_ids=["a"],
    scaling_config={"desired_size": 1, "min_size": 1, "max_size": 6},
)
""")
    render("dev", tmp_path / "out", project)
    nodes, role = yaml.safe_load_all((tmp_path / "out" / "aws.yaml").read_text())
    assert (nodes["type"], nodes["name"]) == ("aws:eks/nodeGroup:NodeGroup", "nodes")
    assert nodes["inputs"]["scalingConfig"] == {"desiredSize": 1, "maxSize": 6, "minSize": 1}
    assert "placeholder" in nodes["inputs"]["nodeRoleArn"]
    assert role == {
        "type": "aws:iam/role:Role", "name": "role", "inputs": {"assumeRolePolicy": "{}"}
    }  # fmt: skip


def test_a_helm_release_is_chart_version_repository_and_values(program, tmp_path):
    project = program("""
import pulumi_kubernetes as k8s
release = k8s.helm.v3.Release(
    "keda", name="keda", namespace="keda", chart="keda", version="2.20.2",
    repository_opts={"repo": "https://charts.example", "password": "hush"},
    values={"operator": {"replicaCount": 2}},
)
k8s.core.v1.ConfigMap("c", metadata={"name": "c"}, data={"of": release.status.name})
""")
    render("dev", tmp_path / "out", project)
    assert read(tmp_path / "out" / "helm" / "keda.yaml") == {
        "chart": "keda",
        "version": "2.20.2",
        "repository": "https://charts.example",
        "name": "keda",
        "namespace": "keda",
        "values": {"operator": {"replicaCount": 2}},
    }
    assert "hush" not in "".join(map(str, contents(tmp_path / "out").values()))


def test_the_program_gets_the_stacks_configuration_and_the_projects_defaults(program, tmp_path):
    project = program(
        """
import json, pulumi, pulumi_kubernetes as k8s
config = pulumi.Config()
data = {
    "stack": pulumi.get_stack(), "project": pulumi.get_project(),
    "default": config.require("tier"), "stated": config.require("size"),
    "object": json.dumps(config.require_object("platform")),
    "other": pulumi.Config("aws").require("region"),
}
k8s.core.v1.ConfigMap("c", metadata={"name": "c"}, data=data)
""",
        "config: {tier: {type: string, default: dev}, size: {type: integer, default: 1},"
        " aws:region: eu-north-1}",
        "config: {little:size: 2, platform: {kind: local}}",
    )
    render("dev", tmp_path / "out", project)
    assert read(tmp_path / "out" / "default" / "configmap-c.yaml")["data"] == {
        "stack": "dev",
        "project": "little",
        "default": "dev",
        "stated": "2",
        "object": '{"kind": "local"}',
        "other": "eu-north-1",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'import pulumi_aws as aws\naws.get_caller_identity()',
            "the program calls aws:index/getCallerIdentity:getCallerIdentity",
        ),
        (
            'import pulumi_kubernetes as k8s\nk8s.core.v1.ConfigMap("c")',
            "ConfigMap c states no metadata.name",
        ),
        (
            CONFIG_MAP + CONFIG_MAP.replace('"settings", metadata', '"again", metadata'),
            "two objects would be written to apps/configmap-settings.yaml",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_refused_by_name(program, tmp_path, text, message):
    with pytest.raises(Exception, match=message):
        render("dev", tmp_path / "out", program(text))
    assert not (tmp_path / "out").exists()


def test_an_unknown_stack_names_the_ones_there_are(program):
    with pytest.raises(
        RenderError, match=r"there is no Pulumi\.qa\.yaml .* the stack is one of dev"
    ):
        declare("qa", program(CONFIG_MAP))


def test_the_command_answers_a_refusal_with_its_message_alone(tmp_path, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise pulumi.RunError("stack dev: 1 problem, nothing was touched")

    monkeypatch.setattr(command, "render_stack", refuse)
    monkeypatch.setattr(sys, "argv", ["ops", "render", "--out", str(tmp_path / "out")])
    assert main() == 1
    assert capsys.readouterr().err == "error: stack dev: 1 problem, nothing was touched\n"
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_much_it_wrote_and_where(program, tmp_path, monkeypatch, capsys):
    project = program(CONFIG_MAP)
    monkeypatch.setattr(render, "__defaults__", (project,))
    monkeypatch.setattr(sys, "argv", ["ops", "render", "--out", str(tmp_path / "out")])
    assert main() == 0
    assert capsys.readouterr().out == f"2 files of dev in {tmp_path / 'out'}\n"
