"""Costs per hour of the GPU nodes that the shipped files state."""

from collections.abc import Iterator

from config.base import PROJECT_FOLDER
from config.load import parse, read_stack_file
from config.sections.node_groups import NodeGroup

PRICES_SOURCE = (
    "https://github.com/aws/karpenter-provider-aws/blob/v1.15.1/"
    "pkg/providers/pricing/zz_generated.pricing_aws.go"
)
PRICES_DATE = "2026-07-20"
"""Date on which Karpenter generated the table."""

USD_PER_HOUR = {"g6.12xlarge": 4.6016, "g6.24xlarge": 6.6752}
"""On-demand price of a Linux instance in us-east-1, by type."""

SHIPPED = ("staging", "prod")
"""Stacks whose files state node groups."""


def markdown() -> str:
    """Return a table of the shipped files' node groups and their costs.

    Raises:
        KeyError: `USD_PER_HOUR` lacks a type that a file states.
    """
    head = "| file | node | a node per hour | fewest nodes | most nodes |\n|---|---|---|---|---|"
    note = (
        f"Prices are on-demand prices of us-east-1, from [Karpenter's table]({PRICES_SOURCE}) of "
        f"{PRICES_DATE}.\nOther regions differ; spot nodes mostly cost less."
    )
    rows = (row for stack in SHIPPED for row in _rows(f"Pulumi.{stack}.yaml"))
    return "\n".join((note, "", head, *rows))


def _rows(file: str) -> Iterator[str]:
    settings = parse(read_stack_file(PROJECT_FOLDER / file))
    for group in settings.gpu_nodes.groups:
        for instance in group.instance_types:
            yield _row(file, group, instance)


def _row(file: str, group: NodeGroup, instance: str) -> str:
    price, spot = USD_PER_HOUR[instance], group.capacity_type == "SPOT"
    most = "at most " if spot else ""
    costs = (f"{n}: {most}{n * price:,.2f} USD" for n in (group.min_size, group.max_size))
    node = f"{instance}, {'spot' if spot else 'on demand'}"
    return f"| `{file}` | {node} | {most}{price:,.2f} USD | {' | '.join(costs)} |"
