"""Commands that must not change a running local cluster leave it as it is.

On the real control plane with kwok's nodes. Not proved here: what kubelet makes of its GPUs; that
it forgets them when it starts again is played.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import Client
from lightkube.resources.core_v1 import Node, NodeStatus, Pod

from config.sections.gpu_nodes import GPU_RESOURCE
from config.settings import Settings
from local_cluster.cluster import Cluster
from local_cluster.modes import MODE_VARIABLE
from local_cluster.serving import layout, objects
from ops.stack.cluster_spec import cluster_spec
from tests.integration.checkout import Checkout
from tests.integration.local_runs import kill
from tests.integration.pods import pod

SMALLER = Settings.model_validate({"gpu_nodes": {"kind": "existing", "max_size": 1}})


@pytest.fixture
def client(bare_cluster: Cluster) -> Client:
    return bare_cluster.client()


def nodes(client: Client) -> dict[str, Any]:
    return {node.metadata.name: node.metadata.uid for node in client.list(Node)}


def test_previews_refreshes_and_destroys_leave_nodes_and_their_pods_and_up_brings_them_in_line(
    empty: Checkout, client: Client
) -> None:
    before = nodes(client)
    last = pod("last", tolerates=True, nodeName="gpu-5")
    client.create(Pod.from_dict(last), namespace="default")
    held = client.get(Pod, "last", namespace="default").metadata.uid
    # Room for fewer replicas, so that it is good as a configuration.
    small = {"autoscaler": {"minReplicas": 1, "maxReplicas": 2}}
    empty.set_config(gpuNodes={"kind": "existing", "maxSize": 1}, inference=[small])
    for command in ("preview", "refresh", "destroy"):
        empty.ops(command).ok()
        assert nodes(client) == before, command
        assert client.get(Pod, "last", namespace="default").metadata.uid == held
    empty.ops("cluster").ok()
    assert nodes(client).keys() == before.keys() - {f"gpu-{i}" for i in range(1, 6)}


def test_another_kind_is_refused_by_what_may_not_change_the_cluster(
    empty: Checkout,
) -> None:
    before = Cluster(empty.env.state_dir).components()
    for command in ("preview", "refresh", "destroy"):
        ran = empty.ops(command, env={MODE_VARIABLE: "serving"}).failed()
        assert ran.output.count("the local cluster was created as simulated") == 1
    assert Cluster(empty.env.state_dir).components() == before


def test_a_cluster_that_stopped_is_started_with_the_nodes_that_it_had(
    bare_cluster: Cluster, client: Client
) -> None:
    before = nodes(client)
    kill(bare_cluster)
    assert not bare_cluster.up(cluster_spec(SMALLER), reshape=False).is_new
    assert nodes(client) == before


def test_a_running_cluster_is_not_restarted_for_other_start_options(
    bare_cluster: Cluster,
) -> None:
    record = bare_cluster.record
    assert record is not None
    record.model_copy(update={"launch": "by another version"}).write(bare_cluster.paths.record)
    before = bare_cluster.components()
    bare_cluster.up(cluster_spec(Settings()), reshape=False)
    assert bare_cluster.components() == before
    bare_cluster.up(cluster_spec(Settings()))
    assert bare_cluster.record == record
    assert not before.items() & bare_cluster.components().items()


@pytest.fixture
def serving_node(client: Client) -> Iterator[str]:
    """A node of the name that the serving cluster's has."""
    name = layout.NODE_NAME
    metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    client.create(Node.from_dict({"metadata": metadata}))
    yield name
    client.delete(Node, name)


def test_a_serving_node_is_given_the_gpus_that_it_had(client: Client, serving_node: str) -> None:
    def gpus() -> tuple[str, str]:
        status = client.get(Node, serving_node).status
        return status.capacity[GPU_RESOURCE], status.allocatable[GPU_RESOURCE]

    objects.advertise_gpus(client, 24, print)
    assert gpus() == ("24", "24")
    nothing = {"capacity": {GPU_RESOURCE: "0"}, "allocatable": {GPU_RESOURCE: "0"}}
    client.patch(NodeStatus, serving_node, {"status": nothing})
    objects.advertise_gpus(client, None, print)
    assert gpus() == ("24", "24")
    objects.advertise_gpus(client, 4, print)
    assert gpus() == ("4", "4")


def test_where_no_cluster_is_there_one_is_made(checkout: Checkout) -> None:
    assert "local cluster: made" in checkout.ops("preview").ok().output
    assert len(nodes(Cluster(checkout.env.state_dir).client())) > 2
