"""Order of the program's resources, declared under mocks: the dependencies of each.

Not that the engine keeps the order: tests/integration.
"""

import pytest

from tests.unit.whole_program import declared_by


def depends(program, later, earlier):
    """Return True if one resource is made after another and destroyed before it."""
    by_name = {r.name: r for r in program.resources}
    by_urn = {r.urn: r for r in program.resources}
    todo, seen = [later], set()
    while todo:
        name = todo.pop()
        if name == earlier:
            return True
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        resource = by_name[name]
        todo += resource.depends_on
        if resource.parent:
            todo.append(by_urn[resource.parent].name)
    return False


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("inference-autoscaler-scaled-object", "keda-release"),
        ("inference-autoscaler-scaled-object", "namespaces-ai-namespace"),
        ("keda-release", "namespaces-keda"),
        ("inference-triton-deployment", "gpu-nodes"),
        ("inference-triton-deployment", "inference-network-triton"),
        ("inference-gateway-deployment", "inference-network-gateway"),
        ("device-plugin-daemon-set", "gpu-nodes"),
        ("prometheus-deployment", "namespaces-observability"),
    ],
)
def test_what_is_needed_comes_first_and_goes_last(later, earlier):
    staging = declared_by("staging")
    names = {r.name for r in staging.resources}
    assert {later, earlier} <= names
    assert depends(staging, later, earlier)
    assert not depends(staging, earlier, later)


@pytest.mark.parametrize(
    "failed",
    ["inference-triton-deployment", "inference-gateway-deployment", "prometheus-deployment"],
)
def test_a_workload_that_is_refused_keeps_no_other_object_away(failed):
    """With `--continue-on-error`, which `make up` sets; the engine: tests/integration."""
    staging = declared_by("staging")
    waiting = {r.name for r in staging.resources if depends(staging, r.name, failed)}
    assert {name for name in waiting if name != failed} == set()
