"""The device plugin's own package, at the deployed version, understands its configuration.

Not shown: that the plugin shares a GPU, for which it needs one.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.gpus.device_plugin_workload import CONFIG_FILE, daemon_set_spec
from config.sections.gpu_sharing import Mig, Mps, TimeSlicing
from config.settings import Settings
from local_cluster import toolchain


class Understood(NamedTuple):
    """Configuration as the plugin understands it."""

    strategy: str
    migs: str
    replicas: dict[str, int]
    one_at_most: bool


Understand = Callable[[str, dict[str, str]], Understood]


@pytest.fixture(scope="session")
def understood() -> Iterator[Understand]:
    """Parse a configuration file as the plugin does, with the environment of its container."""
    parser = toolchain.ensure("device-plugin-config")["device-plugin-config"]
    with subprocess.Popen(
        [parser], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def parse(text: str, env: dict[str, str]) -> Understood:
            questions.write(json.dumps({"config": text, "env": env}) + "\n")
            questions.flush()
            answer = json.loads(answers.readline())
            if "error" in answer:
                raise ValueError(answer["error"])
            config = answer["config"]
            shared = {"time-slicing": "timeSlicing", "mps": "mps"}.get(answer["strategy"], "")
            sharing = config["sharing"].get(shared, {})
            return Understood(
                answer["strategy"],
                config["flags"]["migStrategy"],
                {one["name"]: one["replicas"] for one in sharing.get("resources", [])},
                sharing.get("failRequestsGreaterThanOne", False),
            )

        yield parse
        questions.close()


def rendered(raw: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the contents of the file, and the environment of the plugin's container."""
    settings = Settings.model_validate({"gpuSharing": raw})
    sharing = settings.gpu_sharing
    pod = daemon_set_spec(settings.device_plugin, settings.gpu_nodes.pool, sharing)["template"]
    (container,) = pod["spec"]["containers"]
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    assert env["CONFIG_FILE"].endswith(CONFIG_FILE)
    return yaml.safe_dump(sharing.plugin_configuration, sort_keys=False), env


def test_the_plugin_gives_each_gpu_its_time_slices(understood: Understand):
    text, env = rendered({"kind": "timeSlicing", "slices": 4})
    assert understood(text, env) == ("time-slicing", "none", {"nvidia.com/gpu": 4}, True)


def test_the_plugin_gives_each_gpu_its_clients_of_mps(understood: Understand):
    text, env = rendered({"kind": "mps", "clients": 48})
    assert understood(text, env) == ("mps", "none", {"nvidia.com/gpu": 48}, True)


def test_the_plugin_names_mig_devices_by_profile_and_shares_none(understood: Understand):
    text, env = rendered({"kind": "mig", "profile": "1g.10gb", "devices": 7})
    assert understood(text, env) == ("none", "mixed", {}, False)


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("replicas: 4", "replicas: 1", "number of replicas must be >= 2"),
        ("replicas: 4", "replicas: four", "cannot unmarshal"),
        ("replicas: 4", "slices: 4", "no replicas specified"),
        ("name: nvidia.com/gpu", "name: gpu/", "incorrect format for resource name"),
        ("resources:", "resource:", "no resources specified"),
        ("version: v1", "version: v2", "unknown version: v2"),
    ],
)
def test_the_plugin_refuses_a_configuration_that_is_broken(
    understood: Understand, ours: str, theirs: str, why: str
):
    text, env = rendered({"kind": "timeSlicing", "slices": 4})
    assert ours in text
    with pytest.raises(ValueError, match=why):
        understood(text.replace(ours, theirs), env)


def test_the_plugin_shares_nothing_by_a_key_that_it_does_not_know(understood: Understand):
    """It ignores such a key silently, so only a look at the result finds it."""
    text, env = rendered({"kind": "timeSlicing", "slices": 4})
    assert understood(text.replace("timeSlicing", "timeSlices"), env).strategy == "none"


KINDS = st.one_of(
    st.builds(TimeSlicing, kind=st.just("timeSlicing"), slices=st.integers(2, 128)),
    st.builds(Mps, kind=st.just("mps"), clients=st.integers(2, 48)),
    st.builds(
        Mig,
        kind=st.just("mig"),
        profile=st.from_regex(Mig.model_fields["profile"].metadata[0].pattern, fullmatch=True),
        devices=st.integers(1, 7),
    ),
)


@given(KINDS)
def test_the_plugin_understands_every_sharing_that_can_be_stated(
    understood: Understand, sharing: TimeSlicing | Mps | Mig
):
    by_kind = {
        "timeSlicing": ("time-slicing", "none", True),
        "mps": ("mps", "none", True),
        "mig": ("none", "mixed", False),
    }
    text, env = rendered(sharing.model_dump())
    strategy, migs, one_at_most = by_kind[sharing.kind]
    replicas = {sharing.resource: sharing.per_gpu} if one_at_most else {}
    assert understood(text, env) == (strategy, migs, replicas, one_at_most)
