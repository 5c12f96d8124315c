"""Misspelt and mistyped values are refused in the user's words: path, value, allowed values."""

from collections.abc import Mapping
from typing import Any

import pytest

from config.base import PROJECT
from config.load import Refused, parse


def refusals(raw: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Reason and fix of every problem, by key and value as they are printed."""
    with pytest.raises(Refused) as caught:
        parse(raw)
    return {
        ", ".join(
            f"{key} = {'unset' if value is None else value}" for key, value in p.keys.items()
        ): (
            p.reason,
            p.fix,
        )
        for p in caught.value.problems
    }


def one_stack(**parameters: object) -> dict[str, object]:
    return {"inference": [parameters]}


BALANCER = {
    "kind": "internalLoadBalancer",
    "sourceCidrs": ["10.0.0.1/8"],
    "subnetCidrs": ["10.0.0.0/24"],
}

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"gpuNodes": {"kind": "existing", "labels": {"a": True}}}, "gpuNodes.labels.a = True",
     "must be text",
     'write "true"'),
    ({"inference": [{"gateway": {"outliers": {"consecutiveFailures": 5}}}]},
     "inference[0].gateway.outliers.consecutiveFailures = 5",
     "is not a parameter any more: answers",
     "delete the key"),
    ({"gpuNodes": {"kind": "existing", "provision": "none"}}, 'gpuNodes.provision = "none"',
     "is not a parameter any more: `gpuNodes.kind` takes its place", "delete the key"),
    ({"gpuNodes": {"kind": "eksNodeGroups", "groups": [{}] * 31}}, "gpuNodes.groups = a list",
     "takes at most 30 item(s)", "leave out the others"),
    (one_stack(autoscaler={"signal": {"kind": "demand", "refusedSeconds": 1}, "refusedSeconds": 1}),
     "inference[0].autoscaler.refusedSeconds = 1",
     "is not a parameter any more: `autoscaler.signal.refusedSeconds`", "delete the key"),
    ({"inferense": []}, "inferense = a list", "no such parameter", "did you mean inference?"),
    ({"tier": "prd"}, 'tier = "prd"', "one of dev, staging, prod", "did you mean prod?"),
    ({"gpuNodes": []}, "gpuNodes = a list", "must be a mapping", "all defaults"),
    ({"inference": {"namespace": "a"}}, "inference = a mapping", "must be a list", "`- `"),
    ({"platform": {"cpuNodes": 3}}, "platform.kind = unset", "a kind is needed",
     "choose one of local, kubeconfig, stackReference"),
    ({"platform": {"kind": "lokal"}}, 'platform.kind = "lokal"', "must be one of local,",
     "did you mean local?"),
    ({"platform": "local"}, 'platform = "local"', "must be a mapping", "defaults"),
    ({"platform": {"kind": "kubeconfig"}}, "platform.path = unset", "a value is needed: Kubeconfig",
     "state it"),
    ({"platform": {"kind": "kubeconfig", "path": ""}}, 'platform.path = ""', "must not be empty",
     "state it"),
    ({"prometheus": {"kind": "existing", "address": "x", "namespace": "a"}},
     'prometheus.address = "x"', "must match ^https?", "write it so"),
    ({"gpuNodes": {"kind": "existing", "labels": {"a": 1}}}, "gpuNodes.labels.a = 1",
     "must be text", 'write "1"'),
    ({"gpuNodes": {"kind": "existing", "labels": {"bad key!": "a"}}},
     'gpuNodes.labels.bad key! = "bad key!"',
     "must be a Kubernetes label's key", "write it so"),
    ({"gpuNodes": {"kind": "existing", "labels": {"a": "b c"}}}, 'gpuNodes.labels.a = "b c"',
     "at most 63 letters",
     "write it so"),
    ({"gpuNodes": {"kind": "existing", "taint": {"key": "bad key!"}}},
     'gpuNodes.taint.key = "bad key!"',
     "such as example.com/team", "write it so"),
    ({"gpuNodes": {"kind": "existing", "taint": {"value": "-"}}}, 'gpuNodes.taint.value = "-"',
     "at both ends",
     "write it so"),
    ({"keda": {"kind": "helm", "chartVersion": ""}}, 'keda.chartVersion = ""',
     "semantic version such as", "write it so"),
    ({"prometheus": {"kind": "managed", "scrapeIntervalSeconds": 0.0001}},
     "prometheus.scrapeIntervalSeconds = 0.0001", "must be at least 1", "at least 1"),
    ({"prometheus": {"kind": "existing", "address": "http://p.m:9090", "namespace": "a",
                     "scrapeIntervalSeconds": 0.9}},
     "prometheus.scrapeIntervalSeconds = 0.9", "must be at least 1", "at least 1"),
    ({"gpuNodes": {"kind": "existing", "instanceTypes": []}}, "gpuNodes.instanceTypes = a list",
     "at least 1 item",
     "add one"),
    ({"gpuNodes": {"kind": "existing", "minSize": True}}, "gpuNodes.minSize = True",
     "must be a whole number",
     "write a whole number"),
    ({"gpuNodes": {"kind": "existing", "capacity": {"gpus": 1, "cpu": 1, "memoryGib": 0}}},
     "gpuNodes.capacity.memoryGib = 0", "must be at least 1", "a number at least 1"),
    (one_stack(gateway={"replicas": "2"}), 'inference[0].gateway.replicas = "2"',
     "must be a whole number", "without quotes (pulumi config set --path --type int)"),
    (one_stack(gateway={"replicas": 0}), "inference[0].gateway.replicas = 0", "must be at least 1",
     "at least 1"),
    (one_stack(gateway={"port": 65536}), "inference[0].gateway.port = 65536", "at most 65535",
     "at most 65535"),
    (one_stack(gateway={"replicas": 1.5}), "inference[0].gateway.replicas = 1.5",
     "must be a whole number", "write a whole number"),
    (one_stack(gateway={"inFlight": {"kind": "fleet", "streamPerPod": 3}}),
     "inference[0].gateway.inFlight.streamPerPod = 3", "no such parameter",
     "did you mean streamsPerPod?"),
    (one_stack(gateway={"inFlight": {"kind": "static", "streamsPerPod": 3}}),
     "inference[0].gateway.inFlight.streamsPerPod = 3", "no such parameter",
     "did you mean inference[].gateway.inFlight.streamsPerPod?"),
    (one_stack(gateway={"minReplicas": 3}), "inference[0].gateway.minReplicas = 3",
     "no such parameter", "did you mean inference[].autoscaler.minReplicas?"),
    (one_stack(autoscaler={"min_replicas": 3}), "inference[0].autoscaler.min_replicas = 3",
     "no such parameter", "did you mean minReplicas?"),
    (one_stack(autoscaler={"signal": {"kind": "in_flight"}}),
     'inference[0].autoscaler.signal.kind = "in_flight"',
     "must be one of demand, inFlight", "did you mean inFlight?"),
    (one_stack(traffic=None), "inference[0].traffic = null", "must be a mapping", "defaults"),
    (one_stack(traffic={"deadlineSeconds": "2.5"}), 'inference[0].traffic.deadlineSeconds = "2.5"',
     "must be a number", "--type float"),
    (one_stack(traffic={"deadlineSeconds": float("inf")}),
     "inference[0].traffic.deadlineSeconds = inf", "finite number", "write it so"),
    (one_stack(gateway={"cpu": 0.0004}), "inference[0].gateway.cpu = 0.0004",
     "must be at least 0.001", "at least 0.001"),
    (one_stack(namespace="Ai"), 'inference[0].namespace = "Ai"', "must be at most 63",
     "write it so"),
    (one_stack(triton={"image": "a b"}), 'inference[0].triton.image = "a b"',
     "repository[:tag][@sha256:digest]", "write it so"),
    (one_stack(gateway={"exposure": BALANCER}),
     'inference[0].gateway.exposure.sourceCidrs[0] = "10.0.0.1/8"', "10.0.0.0/16", "write it so"),
    ({f"{PROJECT}x:tier": "dev"}, f'{PROJECT}x:tier = "dev"', "no such parameter",
     f"did you mean {PROJECT}:tier?"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "now", "reason", "fix"), WRONG, ids=[case[1] for case in WRONG])
def test_a_wrong_value_is_named_by_its_yaml_path_with_what_is_allowed(
    raw: dict[str, object], now: str, reason: str, fix: str
):
    refused = refusals(raw)
    assert list(refused) == [now]
    assert reason in refused[now][0]
    assert fix in refused[now][1]


def test_one_message_names_everything_misspelt_or_mistyped():
    refused = refusals(
        {
            "tier": "prd",
            "gpuNodes": {"kind": "existing", "instanceTypes": [1, 2]},
            "inference": [{"gateway": {"replica": 2}}, {"traffic": {"parallelism": 0}}],
        }
    )
    assert list(refused) == [
        'tier = "prd"',
        "gpuNodes.instanceTypes[0] = 1",
        "gpuNodes.instanceTypes[1] = 2",
        "inference[0].gateway.replica = 2",
        "inference[1].traffic.parallelism = 0",
    ]
