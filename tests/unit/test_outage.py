"""A live inference stack that the parameters no longer state: warned of, and in prod refused.

Not shown here: that the engine hands out its state so, which tests/integration/test_outage.py does.
"""

from typing import Any

import pytest

from components.rollout.outage import outages, served, stated
from config.settings import Settings

LIVE = "ai-namespace/triton-inference-deployment"


def state(*names: str) -> list[tuple[str, str, str]]:
    """A stack's state that has these Triton Deployments, and other objects too."""
    found = [("Namespace", "", "ai-namespace"), ("Deployment", "ai-namespace", "envoy-gateway")]
    for name in names:
        namespace, _, deployment = name.partition("/")
        found += [("Deployment", namespace, deployment), ("Service", namespace, deployment)]
    return found


def settings(tier: str = "prod", **more: Any) -> Settings:
    return Settings.model_validate({"tier": tier, **more})


def test_the_state_tells_which_fleets_there_are() -> None:
    assert served(state(LIVE, "b/b-triton-inference-deployment")) == [
        LIVE,
        "b/b-triton-inference-deployment",
    ]
    assert served([]) == []


def test_no_message_while_every_entry_stays() -> None:
    assert outages(settings(), served(state(LIVE)), preview=False) == []
    assert outages(settings(), [], preview=False) == []
    assert stated(settings()) == [LIVE]


@pytest.mark.parametrize(
    "entry",
    [{"namespace": "elsewhere"}, {"namePrefix": "team-"}],
    ids=["another-namespace", "another-prefix"],
)
@pytest.mark.parametrize("tier", ["dev", "staging", "prod"])
def test_a_renamed_entry_is_an_outage_and_prod_asks_for_its_name(
    entry: dict[str, str], tier: str
) -> None:
    found = outages(settings(tier, inference=[entry]), [LIVE], preview=False)
    assert [one.severity for one in found] == ["refuse" if tier == "prod" else "warn"]
    (text,) = map(str, found)
    assert text.startswith("outage: OUTAGE")
    assert LIVE in text
    words = f"pulumi config set --path 'kubemind-inference:mayRemove[0]' {LIVE}"
    assert (words in " ".join(text.split())) == (tier == "prod")


def test_one_of_two_entries_that_goes_is_named_and_the_other_is_not() -> None:
    other = "b/b-triton-inference-deployment"
    (found,) = outages(settings(), [LIVE, other], preview=False)
    assert other in found.reason
    assert LIVE not in found.reason


def test_a_preview_warns_of_it_with_the_words_that_up_will_ask_for() -> None:
    (found,) = outages(settings(inference=[{"namespace": "b"}]), [LIVE], preview=True)
    assert found.severity == "warn"
    assert "would delete" in found.reason
    assert "mayRemove[0]" in found.fix


def test_a_name_that_is_stated_may_go_and_a_second_one_is_asked_for() -> None:
    moved = settings(inference=[{"namespace": "b"}], mayRemove=[LIVE])
    (found,) = outages(moved, [LIVE], preview=False)
    assert found.severity == "warn"
    both = outages(moved, ["c/c-triton-inference-deployment", LIVE], preview=False)
    assert [one.severity for one in both] == ["refuse", "warn"]
    assert "mayRemove[1]" in both[0].fix


def test_a_confirmation_that_is_left_over_is_warned_of() -> None:
    (found,) = outages(settings(mayRemove=[LIVE]), [LIVE], preview=False)
    assert found.severity == "warn"
    assert "remove" in found.fix
