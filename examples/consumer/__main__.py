"""A team's program that reads an inference stack's outputs to find it and to pace its calls."""

import sys
from pathlib import Path

import pulumi

# A program outside this repository installs the wheel instead.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kubemind_inference import InferenceOutputs, SharedOutputs

config = pulumi.Config()
stack = pulumi.StackReference("inference", stack_name=config.require("inferenceStack"))
shared = SharedOutputs.read(stack)
inference = InferenceOutputs.read(stack, config.get("namePrefix") or "")

pulumi.export("contractVersion", shared.contract_version)
# A balancer cannot lead a pod to a gateway on the pod's own node.
in_cluster = config.get_bool("inCluster") or False
address = inference.cluster_endpoint if in_cluster else inference.endpoint
pulumi.export("target", pulumi.Output.format("dns:///{0}", address))
# The load balancer's own TLS is not on the way of the cluster's pods.
encrypted = inference.tls.apply(lambda end: end == "gateway" or (end != "none" and not in_cluster))
pulumi.export("tls", encrypted)
# Name to verify: gRPC's channel option `grpc.ssl_target_name_override`.
pulumi.export("serverName", inference.server_name)
pulumi.export("deadlineMilliseconds", inference.deadline_seconds.apply(lambda s: round(s * 1000)))
# range() takes no float: a whole number must come back as one.
pulumi.export("windows", inference.min_in_flight.apply(lambda calls: list(range(0, calls, 64))))
pulumi.export("metricsAddress", shared.metrics_address)
