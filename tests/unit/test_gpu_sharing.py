"""Shares of a GPU in the capacity: what the summary says of them, and MIG's profiles.

The profiles are those that NVIDIA publishes; no GPU is here to divide.
"""

from typing import Any

import pytest

from config.checks import run
from config.settings import Settings
from config.sizing.capacity import summary
from config.sizing.instances import INSTANCE_TYPES, gpu_of

DIVIDED = [
    (name, profile)
    for name in INSTANCE_TYPES
    if (gpu := gpu_of(name))
    for profile in gpu.mig_devices
]


def with_devices(instance_type: str, profile: str, devices: int) -> Settings:
    return Settings.model_validate(
        {
            "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
            "gpuNodes": {"kind": "existing", "instanceTypes": [instance_type]},
            "gpuSharing": {"kind": "mig", "profile": profile, "devices": devices},
        }
    )


def refused(settings: Settings) -> bool:
    return "mig" in {problem.check for problem in run(settings)}


def test_every_type_that_mig_divides_has_profiles():
    """NVIDIA's own tables disagree on the profiles of a B300."""
    divided = {name for name in INSTANCE_TYPES if (gpu := gpu_of(name)) and gpu.has_mig}
    divided -= {"p6-b300.48xlarge"}
    assert {name for name, _ in DIVIDED} == divided


@pytest.mark.parametrize(("instance_type", "profile"), DIVIDED)
def test_a_node_has_as_many_mig_devices_as_its_gpus_can_hold(instance_type: str, profile: str):
    gpu = gpu_of(instance_type)
    assert gpu is not None
    most = gpu.mig_devices[profile]
    settings = with_devices(instance_type, profile, most)
    assert not refused(settings)
    of_node = settings.gpus_of(settings.gpu_nodes.pool)
    assert of_node == INSTANCE_TYPES[instance_type].gpus * most
    assert most == 7 or refused(with_devices(instance_type, profile, most + 1))


def test_nodes_of_unequal_gpus_need_a_profile_that_all_of_them_have():
    both = with_devices("p4de.24xlarge", "1g.10gb", 4).model_dump(by_alias=True)
    both["gpuNodes"]["instanceTypes"] = ["p4d.24xlarge", "p4de.24xlarge"]
    assert not refused(Settings.model_validate(both))
    both["gpuSharing"]["profile"] = "1g.5gb"
    (problem,) = [one for one in run(Settings.model_validate(both)) if one.check == "mig"]
    assert "a GPU of p4de.24xlarge (A100) has no profile 1g.5gb" in problem.reason
    assert problem.fix is not None
    assert "1g.10gb x 7, 1g.10gb+me x 1" in problem.fix


@pytest.mark.parametrize(
    ("sharing", "said"),
    [
        ({"kind": "none"}, "GPUs        20 at most, on 5 nodes (6 in a rollout)"),
        ({"kind": "timeSlicing", "slices": 4},
         "GPUs        20 time slices (4 of each GPU) at most, on 2 nodes (2 in a rollout)"),
        ({"kind": "mps", "clients": 2},
         "GPUs        20 clients of MPS (2 of each GPU) at most, on 3 nodes (3 in a rollout)"),
    ],
)  # fmt: skip
def test_the_summary_names_the_shares_and_counts_their_nodes(sharing: dict[str, Any], said: str):
    settings = Settings.model_validate({"gpuSharing": sharing})
    assert said in summary(settings, settings.inference[0])


def test_the_summary_says_which_shares_the_warm_spares_hold():
    settings = Settings.model_validate(
        {
            "gpuSharing": {"kind": "timeSlicing", "slices": 4},
            "inference": [{"triton": {"warmSpare": {"replicas": 2}}}],
        }
    )
    assert "hold 2 time slices idle" in summary(settings, settings.inference[0])
