"""Reading the parameters: what is refused and in which words, from Pulumi, a file or plain values.

Under mocks Pulumi's configuration is set by hand; that the engine hands it on in the same form is
shown by the integration tests.
"""

import asyncio
import contextvars
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import config as runtime_config

from config.base import PROJECT, PROJECT_FOLDER
from config.load import Refused, load, parse, read_stack_file, warnings
from config.problem import Problem
from config.schema.tree import fields
from config.settings import Settings


def test_one_message_names_everything_that_cannot_work():
    with pytest.raises(Refused) as caught:
        parse(
            {
                "tier": "prod",
                "gpuNodes": {"kind": "existing", "maxSize": 2},
                "prometheus": {"kind": "managed", "scrapeIntervalSeconds": 30},
            },
            source="stack live",
        )
    assert [problem.check for problem in caught.value.problems] == [
        "nodes",
        "scrapeInterval",
        "localTier",
    ]
    first, *_ = str(caught.value).splitlines()
    assert first == (
        "stack live (tier prod): 3 problems, nothing was touched (keys under kubemind-inference:)"
    )


def test_a_refusal_ends_the_run_without_a_traceback():
    """The language host prints a RunError's message alone."""
    assert issubclass(Refused, pulumi.RunError)


@pytest.mark.parametrize("raw", [{}, {"inference": []}, {"platform": {}, "keda": {}, "tier": None}])
def test_what_pulumi_yaml_declares_as_defaults_means_nothing_stated(raw: dict[str, object]):
    assert parse(raw) == Settings()


def test_pulumi_yaml_declares_every_section_with_empty_defaults():
    project = yaml.safe_load((PROJECT_FOLDER / "Pulumi.yaml").read_text())
    assert project["name"] == PROJECT
    declared = {key: value["default"] for key, value in project["config"].items()}
    assert list(declared) == list(fields(Settings))
    assert parse(declared) == Settings()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "namespace", "gateway", "inFlight", "capacity", "labels", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(raw=st.dictionaries(st.sampled_from([*fields(Settings), "other"]), JSON, max_size=3))
def test_whatever_is_stated_is_accepted_or_refused_in_words(raw: dict[str, object]):
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(parse(raw), Settings)
    except Refused as refused:
        problems = refused.problems
    assert all(problem.fix or problem.change for problem in problems)


class Heard(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        raise AssertionError(f"reading the parameters declares nothing: {args.name}")

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"reading the parameters looks nothing up: {args.token}")


@pytest.fixture
def under_mocks(monkeypatch: pytest.MonkeyPatch):
    """Load with some configuration; hands back the settings and what was logged."""

    def run_load(
        values: dict[str, Any], secret: Iterable[str] = ()
    ) -> tuple[Settings, dict[str, list[str]]]:
        said: dict[str, list[str]] = {"warn": [], "info": []}
        monkeypatch.setattr(pulumi.log, "warn", said["warn"].append)
        monkeypatch.setattr(pulumi.log, "info", said["info"].append)

        async def inside() -> Settings:
            pulumi.runtime.set_mocks(Heard(), project=PROJECT, stack="test")
            pulumi.runtime.set_all_config(values, list(secret))
            return load()

        # The mocks take the running loop, whatever other tests left as the thread's.
        return contextvars.copy_context().run(asyncio.run, inside()), said

    return run_load


def test_pulumis_structured_keys_are_read(under_mocks: Any):
    loaded, said = under_mocks(
        {
            f"{PROJECT}:tier": "staging",
            f"{PROJECT}:gpuNodes": json.dumps({"kind": "existing", "minSize": 2}),
            f"{PROJECT}:inference": json.dumps(
                # A rollout of few replicas ends before the credentials of a session do.
                [{"traffic": {"serviceTimeSeconds": 0.025}, "autoscaler": {"maxReplicas": 4}}]
            ),
            "aws:region": "eu-central-1",
        }
    )
    assert loaded.tier == "staging"
    assert loaded.gpu_nodes.pool.min_size == 2
    assert loaded.inference[0].traffic.service_time_seconds == 0.025
    assert said["warn"] == []


def test_no_configuration_at_all_is_all_defaults(under_mocks: Any):
    assert under_mocks({})[0] == Settings()


def test_a_good_configuration_prints_what_each_stack_can_carry(under_mocks: Any):
    stacks = [{}, {"namePrefix": "b-", "namespace": "b"}]
    _, said = under_mocks(
        {
            f"{PROJECT}:inference": json.dumps(stacks),
            f"{PROJECT}:gpuNodes": json.dumps({"kind": "existing", "maxSize": 11}),
        }
    )
    assert [text.splitlines()[0] for text in said["info"]] == [
        "capacity of triton-inference-deployment in ai-namespace:",
        "capacity of b-triton-inference-deployment in b:",
    ]


def test_warnings_are_printed_and_do_not_stop_the_run(under_mocks: Any):
    loaded, said = under_mocks(
        {f"{PROJECT}:gpuNodes": json.dumps({"kind": "existing", "minSize": 0})}
    )
    assert [text.partition(":")[0] for text in said["warn"]] == ["coldStart"]
    assert [problem.check for problem in warnings(loaded)] == ["coldStart"]


def test_preview_and_up_warn_of_a_deprecated_form(under_mocks: Any):
    _, said = under_mocks({f"{PROJECT}:gpuNodes": json.dumps({"provision": "none"})})
    (warning,) = said["warn"]
    assert "now: gpuNodes.provision = none" in warning
    assert "fix: set gpuNodes.kind to existing" in warning


def test_an_unknown_top_level_key_in_pulumis_configuration_is_refused(under_mocks: Any):
    with pytest.raises(Refused, match=r"stack test \(tier dev\): 1 problem(.|\n)*gpuNode = "):
        under_mocks({f"{PROJECT}:gpuNode": "{}"})


def test_a_secret_is_refused_by_pulumi_and_by_make_alike(under_mocks: Any):
    prometheus = {"kind": "existing", "address": "http://p.m:9090", "namespace": "p"}
    key = f"{PROJECT}:prometheus"
    with pytest.raises(Refused, match=r"1 problem(.|\n)*secrets: (.|\n)*prometheus = a secret"):
        under_mocks({key: json.dumps(prometheus)}, secret=[key])


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({"tier": {"secure": "v1:x"}}, "tier"),
        ({"gpuNodes": {"secure": "v1:x"}}, "gpuNodes"),
        ({"prometheus": {"secure": "v1:x"}}, "prometheus"),
        ({"inference": [{"gateway": {"port": {"secure": "v1:x"}}}]}, "inference[0].gateway.port"),
    ],
)
def test_an_encrypted_value_of_a_stack_file_is_called_a_secret(raw: dict[str, Any], path: str):
    with pytest.raises(Refused) as refused:
        parse(raw)
    assert [(p.check, *p.keys) for p in refused.value.problems] == [("secrets", path)]


def test_text_where_a_structure_belongs_is_refused(under_mocks: Any):
    with pytest.raises(Refused, match='inference = "many"'):
        under_mocks({f"{PROJECT}:inference": "many"})


def test_configuration_comes_from_the_environment_as_the_language_host_hands_it_on(
    under_mocks: Any, monkeypatch: pytest.MonkeyPatch
):
    values = {f"{PROJECT}:tier": "staging"}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(values))
    assert runtime_config.get_config_env() == values
    assert under_mocks({})[0].tier == "staging"


def test_a_stack_file_is_read_without_pulumi(tmp_path: Path):
    file = tmp_path / "Pulumi.here.yaml"
    file.write_text(
        "encryptionsalt: v1:x\nconfig:\n  aws:region: eu-central-1\n"
        f"  {PROJECT}:tier: staging\n  gpuNodes:\n    minSize: 2\n"
    )
    assert read_stack_file(file) == {"tier": "staging", "gpuNodes": {"minSize": 2}}


def test_an_empty_stack_file_is_all_defaults(tmp_path: Path):
    (tmp_path / "Pulumi.here.yaml").write_text("")
    assert parse(read_stack_file(tmp_path / "Pulumi.here.yaml")) == Settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("config: [", "line 2: did not find expected node content"),
        ("config: 3", "`config` must be a mapping"),
        ("- 1", "the file must be a mapping"),
        ("config:\n  tier: dev\n  tier: prod\n", "the key tier is repeated"),
    ],
)
def test_an_unreadable_stack_file_is_refused(tmp_path: Path, text: str, why: str):
    file = tmp_path / "Pulumi.here.yaml"
    file.write_text(text)
    with pytest.raises(Refused, match=why):
        read_stack_file(file)


def test_a_missing_stack_file_is_refused(tmp_path: Path):
    with pytest.raises(Refused, match="No such file"):
        read_stack_file(tmp_path / "Pulumi.none.yaml")
