"""Resources of a stack, as a tree."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

Resource = Mapping[str, Any]


def resource_tree(resources: Sequence[Resource]) -> Tree:
    """Return the resources of an exported deployment, each under its parent.

    Args:
        resources: `deployment.resources` of `pulumi stack export`.
    """
    children: defaultdict[str, list[Resource]] = defaultdict(list)
    for resource in resources:
        children[resource.get("parent", "")].append(resource)
    (root,) = (r for r in children[""] if r["type"] == "pulumi:pulumi:Stack")
    tree = Tree(_label(root), guide_style="dim")
    _grow(tree, root, children)
    return tree


def _grow(tree: Tree, resource: Resource, children: Mapping[str, list[Resource]]) -> None:
    for child in sorted(children.get(resource["urn"], []), key=lambda r: str(r["urn"])):
        # Skip the engine's own resources: providers, the stack's identity.
        if not child["type"].startswith(("pulumi:providers:", "pulumi:index:")):
            _grow(tree.add(_label(child)), child, children)


def _label(resource: Resource) -> Text:
    outputs: Mapping[str, Any] = resource.get("outputs", {})
    metadata: Mapping[str, str] = outputs.get("metadata") or {}
    name = metadata.get("name") or str(resource["urn"]).rpartition("::")[2]
    return Text.assemble((str(resource["type"]).rpartition(":")[2], "cyan"), " ", name)
