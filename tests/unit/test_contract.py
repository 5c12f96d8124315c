"""The outputs contract: what is promised stays promised, and a reader gets what it asks for.

Under mocks; the consumer program reads a real stack through the real CLI in tests/integration.
"""

import json
import re
import runpy
from pathlib import Path

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import contract
from components.contract import ContractError, InferenceOutputs, SharedOutputs
from config.sections.inference import InferenceStack

GOLDEN = Path(__file__).parent.parent / "golden"
CONSUMER = Path(__file__).parents[2] / "examples" / "consumer" / "__main__.py"
STACK = "organization/kubemind-inference/dev"

SHARED = {
    "contractVersion": "1.2",
    "namespaces": ["ai-namespace"],
    "namePrefixes": [""],
    "metricsAddress": "http://prometheus:9090",
}
INFERENCE = {
    "endpoint": "nlb.example.com:8080",
    "clusterEndpoint": "envoy-gateway.ai-namespace.svc.cluster.local:8080",
    "tls": "gateway",
    "serverName": "inference.example.com",
    "namespace": "ai-namespace",
    "deploymentName": "triton-inference-deployment",
    "scalerName": "triton-inference-scaler",
    "loadQuery": "sum(up)",
    "deadlineSeconds": 2,
    "minReplicas": 2,
    "maxReplicas": 20,
    "maxGpus": 20,
    "minInFlight": 128,
    "maxInFlight": 1280,
    "minCallsPerSecond": 100.5,
    "maxCallsPerSecond": 1000,
    "minBurstAnswered": 300,
    "maxBurstAnswered": 3000,
}


PREFIX = next(
    held.pattern
    for held in InferenceStack.model_fields["name_prefix"].metadata
    if getattr(held, "pattern", None)
)
NAMES = list(InferenceOutputs.__dataclass_fields__)
SHARED_NAMES = list(SharedOutputs.__dataclass_fields__)


def promised():
    return {
        item.name: [item.type, item.unit]
        for outputs in (SharedOutputs, InferenceOutputs)
        for item in outputs.documented()
    }


def test_no_output_is_removed_renamed_or_retyped_within_a_contract_version():
    """Take a line out of a recorded file only together with a new major version."""
    major = contract.CONTRACT_VERSION.partition(".")[0]
    files = list(GOLDEN.glob(f"contract-{major}.*.json"))
    assert files
    for file in files:
        now = promised()
        for name, what in json.loads(file.read_text()).items():
            assert now.get(name) == what, f"{file.name} promises {name}: {what}"


def test_the_current_contract_is_recorded():
    """A new output is promised from the day it is written down, by hand, under a new version."""
    recorded = json.loads((GOLDEN / f"contract-{contract.CONTRACT_VERSION}.json").read_text())
    assert recorded == promised()


def test_every_output_says_what_it_means():
    for outputs in (SharedOutputs, InferenceOutputs):
        for item in outputs.documented():
            assert item.meaning
            assert item.type in contract.TYPE_NAMES.values()
            assert item.unit or item.type in ("string", "list of strings"), item.name


def read(declare, kind, outputs, prefix=""):
    def program():
        found = kind.read(pulumi.StackReference("stack", stack_name=STACK), prefix)
        for name, value in vars(found).items():
            pulumi.export(name, value)
            seen[name] = value
            value.apply(lambda known, name=name: types.update({name: type(known)}))

    seen, types = {}, {}
    return declare(program, stack_outputs={STACK: outputs}).exports, types


def test_a_reader_gets_whole_numbers_as_int_and_others_as_float(declare):
    values, types = read(declare, InferenceOutputs, SHARED | INFERENCE)
    assert values["min_in_flight"] == 128
    assert types["min_in_flight"] is int
    assert types["max_replicas"] is int
    assert types["deadline_seconds"] is float
    assert types["min_calls_per_second"] is float
    assert values["endpoint"] == INFERENCE["endpoint"]


def test_shared_outputs_are_read_too(declare):
    values, _ = read(declare, SharedOutputs, SHARED | INFERENCE)
    assert values["namespaces"] == ["ai-namespace"]
    assert values["contract_version"] == "1.2"


def test_an_inference_stack_with_a_prefix_has_keys_of_its_own(declare):
    prefixed = {f"vision{name[0].upper()}{name[1:]}": value for name, value in INFERENCE.items()}
    other = dict.fromkeys(INFERENCE, "not mine")
    values, _ = read(declare, InferenceOutputs, SHARED | other | prefixed, prefix="vision-")
    assert values["endpoint"] == INFERENCE["endpoint"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoint": None}, "does not export endpoint"),
        ({"minReplicas": 2.5}, "exports minReplicas = 2.5, which is not of type integer"),
        ({"minReplicas": "2"}, "exports minReplicas = '2', which is not of type integer"),
        ({"minReplicas": True}, "exports minReplicas = True, which is not of type integer"),
        ({"endpoint": 8080}, "which is not of type string"),
        ({"contractVersion": "2.0"}, "exports contract version 2.0; this program reads 1.2"),
        ({"contractVersion": None}, "exports contract version none"),
    ],
)
def test_a_broken_promise_is_one_clear_message(declare, change, message):
    outputs = {k: v for k, v in (SHARED | INFERENCE | change).items() if v is not None}
    with pytest.raises(ContractError, match=f"stack {STACK} .*{message}"):
        read(declare, InferenceOutputs, outputs)


def test_a_newer_minor_version_is_read(declare):
    outputs = SHARED | INFERENCE | {"contractVersion": "1.7", "newOutput": 1}
    values, _ = read(declare, InferenceOutputs, outputs)
    assert values["max_replicas"] == 20


def test_what_is_exported_is_what_is_read(declare):
    def export():
        outputs = {name: pulumi.Output.from_input(INFERENCE[contract.key(name)]) for name in names}
        InferenceOutputs(**outputs).export("vision-")

    names = list(InferenceOutputs.__dataclass_fields__)
    exported = declare(export).exports
    assert exported["visionEndpoint"] == INFERENCE["endpoint"]
    values, _ = read(declare, InferenceOutputs, SHARED | exported, prefix="vision-")
    assert {contract.key(name): value for name, value in values.items()} == INFERENCE


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", "minReplicas"),
        ("vision-", "visionMinReplicas"),
        ("team-a-", "teamAMinReplicas"),
        ("a1-", "a1MinReplicas"),
    ],
)
def test_keys_are_camel_case(prefix, expected):
    assert contract.key("min_replicas", prefix) == expected


@given(
    first=st.from_regex(PREFIX, fullmatch=True),
    second=st.from_regex(PREFIX, fullmatch=True),
    name=st.sampled_from(NAMES),
    other=st.sampled_from(NAMES + SHARED_NAMES),
)
def test_no_two_outputs_share_a_key(first, second, name, other):
    second = "" if other in SHARED_NAMES else second
    if (first, name) != (second, other):
        assert contract.key(name, first) != contract.key(other, second)


@pytest.mark.parametrize(("first", "second"), [("a-1-", "a1-"), ("a--b-", "a-b-")])
def test_prefixes_that_would_share_keys_are_no_prefixes(first, second):
    assert contract.key("endpoint", first) == contract.key("endpoint", second)
    assert not (re.fullmatch(PREFIX, first) and re.fullmatch(PREFIX, second))


@pytest.mark.parametrize(
    ("version", "missing"),
    [("1.0", ("clusterEndpoint", "tls", "serverName")), ("1.1", ("tls", "serverName"))],
)
def test_a_stack_of_an_earlier_release_lacks_the_new_outputs_alone(declare, version, missing):
    outputs = SHARED | INFERENCE | {"contractVersion": version}
    for name in missing:
        del outputs[name]
    says = f"does not export ({'|'.join(missing)}): run `pulumi up`"
    with pytest.raises(ContractError, match=says):
        read(declare, InferenceOutputs, outputs)
    assert read(declare, SharedOutputs, outputs)[0]["contract_version"] == version


@pytest.mark.parametrize(
    ("end", "in_cluster", "encrypted"),
    [
        ("none", "false", False),
        ("loadBalancer", "false", True),
        ("loadBalancer", "true", False),
        ("gateway", "true", True),
    ],
)
def test_a_consumer_learns_whether_its_own_way_has_tls(declare, end, in_cluster, encrypted):
    config = {"inferenceStack": STACK, "namePrefix": "", "inCluster": in_cluster}
    seen = declare(
        lambda: runpy.run_path(str(CONSUMER)),
        config=config,
        stack_outputs={STACK: SHARED | INFERENCE | {"tls": end}},
    )
    assert seen.exports["tls"] is encrypted


def test_pods_of_the_cluster_do_not_call_through_the_load_balancer(declare):
    config = {"inferenceStack": STACK, "namePrefix": "", "inCluster": "true"}
    seen = declare(
        lambda: runpy.run_path(str(CONSUMER)),
        config=config,
        stack_outputs={STACK: SHARED | INFERENCE},
    )
    assert seen.exports["target"] == f"dns:///{INFERENCE['clusterEndpoint']}"


def test_the_consumer_program_reads_a_stack(declare):
    config = {"inferenceStack": STACK, "namePrefix": ""}
    seen = declare(
        lambda: runpy.run_path(str(CONSUMER)),
        config=config,
        stack_outputs={STACK: SHARED | INFERENCE},
    )
    assert seen.exports == {
        "contractVersion": "1.2",
        "target": f"dns:///{INFERENCE['endpoint']}",
        "tls": True,
        "serverName": "inference.example.com",
        "deadlineMilliseconds": 2000,
        "windows": [0, 64],
        "metricsAddress": "http://prometheus:9090",
    }
