"""Every check fires on one changed parameter, names it, and its fix is enough.

Each case starts from a configuration with no problem at all and changes one key. These tests prove
what the checks say of numbers; that Envoy, the HPA and the nodes behave by those numbers is shown
where the real ones run.
"""

import pytest

from config.checks import CHECKS, run
from config.schema.overrides import with_overrides
from config.schema.tree import locate, split
from config.settings import Settings
from tests.unit import (
    caller_cases,
    drain_cases,
    karpenter_cases,
    node_group_cases,
    pod_cases,
    record_cases,
    share_cases,
    tls_cases,
)
from tests.unit.case import Case
from tests.unit.check_cases import CASES as GENERAL_CASES
from tests.unit.check_cases import DIGEST, WHOLE_SECTION

CASES = [
    *GENERAL_CASES,
    *caller_cases.CASES,
    *drain_cases.CASES,
    *karpenter_cases.CASES,
    *node_group_cases.CASES,
    *pod_cases.CASES,
    *record_cases.CASES,
    *share_cases.CASES,
    *tls_cases.CASES,
]


def mutated(case: Case) -> tuple[Settings, Settings]:
    base = with_overrides(Settings(), case.base)
    change = WHOLE_SECTION.get(case.key, {case.key: case.value})
    if case.key.endswith(".kind") and isinstance(case.value, dict):
        change = {case.key.removesuffix(".kind"): case.value}
    return base, with_overrides(base, change)


def test_the_default_configuration_has_no_problem_at_all():
    assert run(Settings()) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.key}")
def test_one_changed_parameter_fires_its_check_and_no_other(case: Case):
    base, bad = mutated(case)
    assert run(base) == []
    problems = run(bad)
    assert {problem.check for problem in problems} == {case.check}
    assert case.key in {key for problem in problems for key in problem.keys}
    assert case.says in problems[0].reason


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.key}")
def test_what_a_check_names_is_a_parameter(case: Case):
    for problem in run(mutated(case)[1]):
        for key in problem.keys:
            if not key.endswith(" (derived)"):
                assert locate(split(key)).field is not None, key


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.key}")
def test_every_problem_offers_a_way_out_and_a_stated_change_is_enough(case: Case):
    bad = mutated(case)[1]
    for problem in run(bad):
        assert problem.fix or problem.change
        if problem.change:
            after = run(with_overrides(bad, problem.change))
            assert problem.check not in {left.check for left in after}


@pytest.mark.parametrize(
    "image",
    [
        "kubemind.local/envoy:1.40.0",
        "mirror:5000/envoyproxy/envoy:contrib-v1.40-latest",
        f"docker.io/envoyproxy/envoy:v1.40.3{DIGEST}",
        f"envoyproxy/envoy{DIGEST}",
        "envoyproxy/envoy:dev",
        "envoyproxy/envoy:2026.11-build1",
        # Of what is not called Envoy nobody knows what its numbers mean.
        "registry.example.com/gateway:1.2.3",
    ],
)
def test_an_image_of_the_same_envoy_or_of_none_that_is_known_passes(image: str):
    assert run(with_overrides(Settings(), {"inference[0].gateway.image": image})) == []


def test_every_check_is_fired_by_a_case():
    assert {check.name for check in CHECKS} == {case.check for case in CASES}


def test_check_names_are_unique():
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
