"""A run that would end a live inference stack, as the engine's own state tells it."""

from tests.integration.checkout import Checkout

LIVE = "ai-namespace/triton-inference-deployment"


def test_a_renamed_entry_is_an_outage_in_the_preview_and_its_name_is_asked_for_in_prod(
    provisioned: Checkout,
) -> None:
    """Not applied here: what a run does whose name is confirmed, which is what it says."""
    assert "OUTAGE" not in provisioned.pulumi("preview").ok().output
    provisioned.set_config(inference=[{"namePrefix": "team-"}])
    said = provisioned.pulumi("preview").ok().output
    assert f"OUTAGE: `up` deletes the live inference stack {LIVE}" in " ".join(said.split())
