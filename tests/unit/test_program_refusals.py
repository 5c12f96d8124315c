"""Refusals before anything is declared; the engine itself then touches nothing."""

import pytest
from pulumi.runtime.settings import get_monitor

from components.cluster import component as platform
from components.gateway import check as gateway_check
from components.gateway.envoy.validate import BootstrapError
from config.load import Refused
from config.problem import Problem
from tests import recording
from tests.unit.test_platform import read_or_local
from tests.unit.whole_program import PLATFORM, STACKS, config_of, program, run


@pytest.mark.parametrize("stack", STACKS)
def test_a_cluster_that_is_refused_gets_nothing(monkeypatch, stack):
    """Not even AWS does, where the cluster is known only once another stack has been read."""
    problem = Problem(check="preflight", severity="refuse", keys={}, reason="no", fix="yes")
    monkeypatch.setattr(platform, "is_applied", lambda: True)
    monkeypatch.setattr(platform, "read", read_or_local)
    monkeypatch.setattr(platform, "preflight", lambda *_, **__: [problem])
    monitors = []

    def watched():
        monitors.append(get_monitor())
        program()

    config = config_of(stack)
    references = {f"organization/platform/{stack}": PLATFORM}
    with pytest.raises(Refused, match="preflight: no"):
        recording.declare(watched, config=config, stack=stack, stack_outputs=references)
    declared = {resource.typ for resource in monitors[0].declared.resources}
    assert declared <= {"pulumi:pulumi:StackReference", "pulumi:index:Stash"}


def test_wrong_parameters_declare_nothing():
    monitors = []

    def watched():
        monitors.append(get_monitor())
        program()

    with pytest.raises(Refused, match="gpuNodes"):
        recording.declare(watched, config={"gpuNodes": {"kind": "existing", "maxSize": 1}})
    assert monitors[0].declared.resources == []


def test_envoy_refuses_before_anything_is_declared(monkeypatch):
    def refuse(_bootstrap):
        raise BootstrapError("Envoy refuses its bootstrap: field x")

    monkeypatch.setattr(gateway_check, "validate", refuse)
    with pytest.raises(Refused, match=r"inference\[0\]\.gateway") as refusal:
        run({})
    assert "field x" in str(refusal.value)


def test_the_message_names_a_bootstrap_that_envoy_could_not_check(monkeypatch):
    monkeypatch.setattr(gateway_check, "validate", lambda _: ["not checked: y"])
    assert ("warning", "gateway: not checked: y") in run({}).logs
