"""Number of equal nodes for pods of several shapes, found by placing them one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.schema.overrides import with_overrides
from config.settings import Settings
from config.sizing.instances import INSTANCE_TYPES, most_pods, usable_cpu, usable_memory_gib
from config.sizing.packing import Pods, Room, cpu_nodes_needed, nodes_needed, replicas_per_node

NODE = Room(8, 8192, 4096)

SHAPES = st.lists(
    st.builds(
        Pods,
        st.integers(1, 9),
        st.builds(
            Room,
            st.sampled_from([0.5, 1, 2, 3, 5, 8]),
            st.sampled_from([512, 1024, 3072, 8192]),
            st.sampled_from([64, 1024, 4096]),
        ),
    ),
    max_size=5,
)


def one_by_one(shapes: list[Pods]) -> int:
    """The largest first, each on the first node that has room."""
    nodes: list[Room] = []
    for count, pod in sorted(shapes, key=lambda s: (s.each.share_of(NODE), s.each))[::-1]:
        for _ in range(count):
            fits = (i for i, room in enumerate(nodes) if room.holds(pod))
            index = next(fits, len(nodes))
            nodes[index:] = nodes[index:] or [NODE]
            nodes[index] = nodes[index].without(1, pod)
    return len(nodes)


@given(shapes=SHAPES)
def test_counting_alike_nodes_together_is_placing_pods_one_by_one(shapes: list[Pods]):
    assert cpu_nodes_needed(shapes, NODE) == one_by_one(shapes)


def test_what_is_left_on_no_single_node_is_no_room():
    five, three = Room(5, 512, 64), Room(3, 512, 64)
    assert cpu_nodes_needed([Pods(3, five)], NODE) == 3
    assert cpu_nodes_needed([Pods(2, five), Pods(2, three)], NODE) == 2


def test_the_scarcest_room_decides():
    assert cpu_nodes_needed([Pods(4, Room(1, 512, 64))], NODE) == 1
    assert cpu_nodes_needed([Pods(4, Room(1, 512, 2048))], NODE) == 2


def test_a_great_many_pods_take_no_longer():
    assert cpu_nodes_needed([Pods(10**12, Room(1, 512, 64))], NODE) == 10**12 // 8


def test_replicas_of_other_placements_count_on_nodes_of_their_own():
    change = {
        "inference": [{"autoscaler": {"maxReplicas": 1}}, {"namePrefix": "b-", "namespace": "b"}]
    }
    together = with_overrides(Settings(), change)
    chosen = {"inference[1].triton.pods.nodeSelector": {"topology.kubernetes.io/zone": "a"}}
    apart = with_overrides(together, chosen)
    assert [nodes_needed(s, lambda _: 2) for s in (together, apart)] == [1, 2]


def test_the_smallest_selected_instance_type_counts():
    types = {"gpuNodes.instanceTypes": ["g6.12xlarge", "g6.48xlarge"]}
    large = {"node.kubernetes.io/instance-type": "g6.48xlarge"}
    either = with_overrides(Settings(), types)
    chosen = with_overrides(either, {"inference[0].triton.pods.nodeSelector": large})
    assert [
        replicas_per_node(s, s.inference[0], s.gpu_nodes.pool).gpus for s in (either, chosen)
    ] == [4, 8]


@pytest.mark.parametrize(
    ("instance_type", "kubelet_mib"), [("g6.xlarge", 15_135), ("g6.12xlarge", 192 * 1024 * 0.95)]
)
def test_memory_counts_less_than_kubelet_offers(instance_type: str, kubelet_mib: float) -> None:
    """A replica that fits by the checks must fit on the node, beside its DaemonSets.

    Of g6.xlarge, kubelet shows 16,128 MiB, less its own and the eviction's memory. Not shown: what
    the other types really offer.
    """
    usable = usable_memory_gib(INSTANCE_TYPES[instance_type].memory_gib, most_pods(instance_type))
    assert 0.9 * kubelet_mib < usable * 1024 < kubelet_mib


@pytest.mark.parametrize(
    ("cpu", "reserved_millis"), [(4, 80), (8, 90), (48, 190), (96, 310), (192, 550)]
)
def test_cpu_counts_less_than_kubelet_offers_beside_the_daemon_sets(
    cpu: int, reserved_millis: int
) -> None:
    """Of eight replicas with an eighth of 191.5 vCPUs, a node with 192 holds seven.

    `reserved_millis` is the AMI's own result (`getCPUMillicoresToReserve`).
    """
    left_millis = 1000 * (cpu - usable_cpu(cpu)) - reserved_millis
    assert 200 <= round(left_millis) <= 500


def test_an_unknown_type_may_run_the_most_pods() -> None:
    assert most_pods("g9.huge") == max(map(most_pods, INSTANCE_TYPES))
