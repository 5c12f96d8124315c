"""How many equal nodes hold pods of several shapes, as placing them one by one finds it."""

from hypothesis import given
from hypothesis import strategies as st

from config.packing import Pods, cpu_nodes_needed

CPU, MEMORY_MIB = 8, 8192

SHAPES = st.lists(
    st.builds(
        Pods,
        st.integers(1, 9),
        st.sampled_from([0.5, 1, 2, 3, 5, 8]),
        st.sampled_from([512, 1024, 3072, 8192]),
    ),
    max_size=5,
)


def one_by_one(shapes: list[Pods]) -> int:
    """The largest first, each on the first node that has room."""
    nodes: list[tuple[float, float]] = []
    for shape in sorted(shapes, key=lambda s: max(s.cpu / CPU, s.memory_mib / MEMORY_MIB))[::-1]:
        for _ in range(shape.replicas):
            fits = (i for i, room in enumerate(nodes) if shape.per_node(*room))
            index = next(fits, len(nodes))
            nodes[index:] = nodes[index:] or [(CPU, MEMORY_MIB)]
            cpu, memory_mib = nodes[index]
            nodes[index] = cpu - shape.cpu, memory_mib - shape.memory_mib
    return len(nodes)


@given(shapes=SHAPES)
def test_counting_alike_nodes_together_is_placing_pods_one_by_one(shapes: list[Pods]):
    assert cpu_nodes_needed(shapes, CPU, MEMORY_MIB) == one_by_one(shapes)


def test_what_is_left_on_no_single_node_is_no_room():
    assert cpu_nodes_needed([Pods(3, 5, 512)], CPU, MEMORY_MIB) == 3
    assert cpu_nodes_needed([Pods(2, 5, 512), Pods(2, 3, 512)], CPU, MEMORY_MIB) == 2


def test_a_great_many_pods_take_no_longer():
    assert cpu_nodes_needed([Pods(10**12, 1, 512)], CPU, MEMORY_MIB) == 10**12 // 8
