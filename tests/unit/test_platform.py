"""The program's access to its cluster, under mocks.

That a real API server is asked, and what it answers, is tests/integration/test_preflight.py's.
"""

import json
from dataclasses import replace

import pulumi
import pytest
import yaml

from components.cluster import component as platform
from components.cluster import kubeconfig
from components.cluster.component import connect, needed_outputs
from components.cluster.kubeconfig import KubeconfigContext
from components.state import ownership
from config.load import Refused
from config.problem import Problem
from config.sections.platform import PLATFORM_OUTPUTS, LocalPlatform
from config.settings import Settings
from tests.unit.connected_program import KUBECONFIG, OUTPUTS, PROVIDER, STACK, everything, settings


def read_or_local(stated, contents=None):
    """A target for every platform; no local cluster runs here."""
    if isinstance(stated, LocalPlatform):
        return KubeconfigContext(context="kwok-kubemind", server="https://127.0.0.1", document={})
    return kubeconfig.read(stated, contents)


async def no_state(**_how):
    return {}


def engine(monkeypatch):
    """As under a real engine whose state holds nothing, on a cluster that holds nothing."""
    monkeypatch.setattr(platform, "is_applied", lambda: True)
    monkeypatch.setattr(platform, "unowned", lambda *_: [])
    monkeypatch.setattr(ownership, "_state", no_state)


@pytest.fixture
def applied(monkeypatch):
    """As under a real engine; records whom preflight asks, which answers with `problems`."""
    asked, problems = [], []
    engine(monkeypatch)
    monkeypatch.setattr(platform, "read", read_or_local)

    def preflight(_settings, _stack, api, **_how):
        asked.append(api.target)
        return problems

    monkeypatch.setattr(platform, "preflight", preflight)
    return asked, problems


@pytest.fixture
def kubeconfig_file(tmp_path):
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(KUBECONFIG))
    return file


REFUSED = Problem(
    check="preflight", severity="refuse", keys={"keda.kind": "existing"}, reason="why", fix="how"
)


def test_the_local_cluster_has_one_identity_and_no_machines_path(declare):
    provider = declare(everything(Settings())).one(PROVIDER)
    assert provider["kubeconfig"] == ".state/local/kubeconfig"
    assert provider["context"] == "kwok-kubemind"
    assert provider["clusterIdentifier"] == "local"


def test_a_config_map_changes_in_place(declare):
    provider = declare(everything(Settings())).one(PROVIDER)
    assert provider["enableConfigMapMutable"] == "true"


def test_a_kubeconfigs_path_is_kept_as_it_is_spelt(declare):
    parameters = settings({"kind": "kubeconfig", "path": "~/.kube/config", "context": "two"})
    provider = declare(everything(parameters)).one(PROVIDER)
    assert provider["kubeconfig"] == "~/.kube/config"
    assert provider["context"] == "two"


@pytest.mark.usefixtures("applied")
def test_another_path_to_the_same_cluster_is_the_same_cluster(declare, kubeconfig_file):
    copy = kubeconfig_file.with_name("copy")
    copy.write_text(kubeconfig_file.read_text())
    providers = [
        declare(everything(settings({"kind": "kubeconfig", "path": str(file)}))).one(PROVIDER)
        for file in (kubeconfig_file, copy)
    ]
    assert {p["clusterIdentifier"] for p in providers} == {"https://one.example.com"}


@pytest.mark.usefixtures("applied")
def test_the_current_context_is_held_so_that_destroy_cannot_follow_another(
    declare, kubeconfig_file
):
    parameters = settings({"kind": "kubeconfig", "path": str(kubeconfig_file)})
    assert declare(everything(parameters)).one(PROVIDER)["context"] == "one"
    parameters = settings({"kind": "kubeconfig", "path": str(kubeconfig_file), "context": "two"})
    provider = declare(everything(parameters)).one(PROVIDER)
    assert (provider["context"], provider["clusterIdentifier"]) == (
        "two",
        "https://two.example.com",
    )


def test_a_kubeconfig_platform_states_the_rest_in_its_section(declare):
    parameters = settings(
        {
            "kind": "kubeconfig",
            "path": "config",
            "clusterName": "inference",
            "subnetIds": ["subnet-a"],
            "oidcProviderArn": "arn:aws:iam::1:oidc-provider/x",
        }
    )
    assert declare(everything(parameters)).exports == {
        "name": "inference",
        "subnetIds": ["subnet-a"],
        "oidcProviderArn": "arn:aws:iam::1:oidc-provider/x",
    }


def test_a_refusal_comes_before_anything_is_declared(declare, applied):
    applied[1].append(REFUSED)
    declared_before = []

    def program():
        try:
            everything(Settings())()
        finally:
            declared_before.extend(pulumi.runtime.settings.get_monitor().declared.resources)

    with pytest.raises(Refused, match="preflight: why"):
        declare(program)
    assert declared_before == []


def test_a_warning_is_printed_and_stops_nothing(declare, applied):
    applied[1].append(replace(REFUSED, severity="warn"))
    seen = declare(everything(Settings()))
    assert [text for severity, text in seen.logs if severity == "warning"] == [str(applied[1][0])]
    assert seen.resources


@pytest.mark.parametrize("preview", [True, False])
def test_preflight_knows_whether_anything_will_be_applied(declare, monkeypatch, preview):
    asked = []
    engine(monkeypatch)
    monkeypatch.setattr(platform, "read", read_or_local)
    monkeypatch.setattr(platform, "preflight", lambda *_, preview: asked.append(preview) or [])
    declare(everything(Settings()), preview=preview)
    assert asked == [preview]


def test_under_mocks_preflight_is_skipped_with_a_message(declare):
    seen = declare(everything(Settings()))
    assert (
        "info",
        "preflight skipped: this run applies nothing, so it reads no cluster",
    ) in seen.logs


class TestStackReference:
    PLATFORM = {"kind": "stackReference", "stack": STACK}  # noqa: RUF012

    def test_the_platforms_outputs_are_used(self, declare):
        seen = declare(everything(settings(self.PLATFORM)), stack_outputs={STACK: OUTPUTS})
        assert seen.exports == {"name": "inference", "subnetIds": ["subnet-a", "subnet-b"]}
        reference = seen.resource("pulumi:pulumi:StackReference")
        assert reference.inputs["name"] == STACK

    @pytest.mark.usefixtures("applied")
    def test_the_kubeconfig_stays_secret_and_nothing_else_becomes_it(self, declare):
        seen = declare(everything(settings(self.PLATFORM)), stack_outputs={STACK: OUTPUTS})
        provider = seen.resource(PROVIDER)
        assert provider.inputs["kubeconfig"] == OUTPUTS["kubeconfig"]
        assert provider.inputs["clusterIdentifier"] == "https://one.example.com"
        assert provider.secrets == {"kubeconfig"}
        assert seen.secret_exports == frozenset()

    def test_preflight_checks_the_kubeconfig_once_it_is_known(self, declare, applied):
        declare(everything(settings(self.PLATFORM)), stack_outputs={STACK: OUTPUTS})
        (target,) = applied[0]
        assert (target.context, target.server) == ("one", "https://one.example.com")

    def test_an_object_is_as_good_as_text(self, declare, applied):
        """As pulumi-eks exports it."""
        exported = {STACK: {**OUTPUTS, "kubeconfig": KUBECONFIG}}
        seen = declare(everything(settings(self.PLATFORM)), stack_outputs=exported)
        (target,) = applied[0]
        assert target.server == "https://one.example.com"
        provider = seen.resource(PROVIDER)
        assert json.loads(provider.inputs["kubeconfig"]) == KUBECONFIG
        assert provider.secrets == {"kubeconfig"}

    def test_a_refusal_stops_all_that_waits_for_the_provider(self, declare, applied):
        applied[1].append(REFUSED)
        monitors = []

        def program():
            everything(settings(self.PLATFORM))()
            monitors.append(pulumi.runtime.settings.get_monitor())

        with pytest.raises(Refused, match="preflight: why"):
            declare(program, stack_outputs={STACK: OUTPUTS})
        declared = {resource.typ for resource in monitors[0].declared.resources}
        assert declared <= {"pulumi:pulumi:StackReference", "pulumi:index:Stash"}

    def test_missing_outputs_are_named_all_at_once(self, declare):
        parameters = settings(self.PLATFORM, gpuNodes={"kind": "eksNodeGroups"})
        with pytest.raises(Refused) as refusal:
            declare(everything(parameters), stack_outputs={STACK: {"kubeconfig": "x"}})
        message = " ".join(str(refusal.value).split())
        for name in ("clusterName", "subnetIds"):
            assert f"{name} ({PLATFORM_OUTPUTS[name]})" in message
        assert f"platform.stack = {STACK}" in message

    def test_what_uses_an_output_does_not_complain_of_its_own(self, declare):
        parameters = settings(self.PLATFORM, gpuNodes={"kind": "eksNodeGroups"})

        def program():
            name = connect(parameters).name
            pulumi.export("name", name.apply(lambda _: pytest.fail("used unchecked")))

        with pytest.raises(Refused, match="does not export"):
            declare(program, stack_outputs={STACK: {"kubeconfig": OUTPUTS["kubeconfig"]}})

    def test_an_unknown_kubeconfig_skips_preflight_with_a_message(self, declare, applied):
        unknown = {**OUTPUTS, "kubeconfig": pulumi.runtime.rpc.UNKNOWN}
        seen = declare(
            everything(settings(self.PLATFORM)), stack_outputs={STACK: unknown}, preview=True
        )
        assert applied[0] == []
        assert (
            "info",
            "preflight skipped: the platform's kubeconfig is not known yet",
        ) in seen.logs
        assert seen.one("kubernetes:core/v1:ConfigMap", "inside") is not None


@pytest.mark.parametrize(
    ("parameters", "needed"),
    [
        ({}, ["kubeconfig"]),
        ({"gpuNodes": {"kind": "eksNodeGroups"}}, ["kubeconfig", "clusterName", "subnetIds"]),
        ({"s3": {"identity": "podIdentity"}}, ["kubeconfig", "clusterName"]),
        ({"s3": {"identity": "irsa"}}, ["kubeconfig", "oidcProviderArn", "oidcProviderUrl"]),
        ({"s3": {"identity": "irsa", "roleArn": "arn:aws:iam::1:role/x"}}, ["kubeconfig"]),
    ],
)
def test_only_what_the_parameters_use_must_be_exported(parameters, needed):
    parameters = dict(parameters)
    if s3 := parameters.pop("s3", None):
        repository = {"kind": "s3", "uri": "s3://models/all", **s3}
        parameters["inference"] = [{"triton": {"modelRepository": repository}}]
    assert needed_outputs(Settings.model_validate(parameters)) == needed
