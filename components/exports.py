"""The stack's outputs, derived from its parameters and its resources."""

from collections.abc import Sequence

from pulumi import Output

from components.autoscaler.queries import scaler_query
from components.contract import CONTRACT_VERSION, InferenceOutputs, SharedOutputs
from components.inference import Inference
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.sizing.capacity import capacity


def export_outputs(settings: Settings, stacks: Sequence[Inference]) -> None:
    """Export all outputs of the contract.

    Args:
        settings: The parameters.
        stacks: The inference stacks, in the order of `settings.inference`.
    """
    SharedOutputs(
        contract_version=Output.from_input(CONTRACT_VERSION),
        namespaces=Output.from_input(sorted({stack.namespace for stack in settings.inference})),
        name_prefixes=Output.from_input([stack.name_prefix for stack in settings.inference]),
        metrics_address=Output.from_input(settings.prometheus.address),
    ).export()
    for config, stack in zip(settings.inference, stacks, strict=True):
        _outputs(settings, config, stack).export(config.name_prefix)


def _outputs(settings: Settings, config: InferenceStack, stack: Inference) -> InferenceOutputs:
    can = capacity(settings, config)
    query = scaler_query(config, settings.prometheus)
    return InferenceOutputs(
        endpoint=stack.endpoint,
        cluster_endpoint=stack.cluster_endpoint,
        tls=Output.from_input(config.tls_ends_at),
        server_name=Output.from_input(config.server_name),
        namespace=Output.from_input(config.namespace),
        deployment_name=Output.from_input(config.deployment_name),
        scaler_name=Output.from_input(config.scaler_name),
        load_query=Output.from_input(query),
        deadline_seconds=Output.from_input(config.traffic.deadline_seconds),
        min_replicas=Output.from_input(can.least.replicas),
        max_replicas=Output.from_input(can.most.replicas),
        max_gpus=Output.from_input(can.gpus),
        min_in_flight=Output.from_input(can.least.in_flight),
        max_in_flight=Output.from_input(can.most.in_flight),
        min_calls_per_second=Output.from_input(can.least.calls_per_second),
        max_calls_per_second=Output.from_input(can.most.calls_per_second),
        min_burst_answered=Output.from_input(can.least.burst_ok),
        max_burst_answered=Output.from_input(can.most.burst_ok),
    )
