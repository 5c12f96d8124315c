import re

import pytest

from components.common.labels import gateway_labels, labels, namespace_labels, triton_labels
from config.sections.inference import InferenceStack
from config.selectors import gateway_selector, selector


def test_a_selector_is_part_of_the_labels_and_names_one_workload():
    made = labels("triton", "model-server", "a-triton")
    assert selector("triton", "a-triton").items() <= made.items()
    assert selector("triton", "a-triton") != selector("triton", "b-triton")


def test_labels_are_the_recommended_ones():
    assert labels("envoy", "gateway", "envoy-gateway") == {
        "app.kubernetes.io/name": "envoy",
        "app.kubernetes.io/instance": "envoy-gateway",
        "app.kubernetes.io/component": "gateway",
        "app.kubernetes.io/part-of": "kubemind-inference",
    }


def test_two_stacks_in_one_namespace_do_not_select_each_other():
    one, two = InferenceStack(name_prefix="a-"), InferenceStack(name_prefix="b-")
    assert not gateway_selector(one).items() <= gateway_labels(two).items()
    assert not gateway_selector(one).items() <= triton_labels(one).items()


@pytest.mark.parametrize("stack", ["dev", "prod.eu_1", "_", "a" * 62 + "." * 3 + "b", "b" * 100])
def test_any_name_of_a_pulumi_stack_makes_a_label(stack: str):
    value = namespace_labels(stack)["kubemind-inference/stack"]
    assert len(value) <= 63
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value)
    assert stack.strip("-_.").startswith(value)
