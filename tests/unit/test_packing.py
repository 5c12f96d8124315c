"""Number of equal nodes for pods of several shapes, found by placing them one by one."""

from hypothesis import given
from hypothesis import strategies as st

from config.sizing.packing import Pods, Room, cpu_nodes_needed

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
    for count, pod in sorted(shapes, key=lambda shape: shape.each.share_of(NODE))[::-1]:
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
