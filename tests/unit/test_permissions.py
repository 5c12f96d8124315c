"""Permissions that preflight asks for; tests/integration show what a real API server grants."""

import pytest

from components.cluster.permissions import required
from config.settings import Settings

EXISTING = {"kind": "existing", "address": "http://p.m:9090", "namespace": "monitoring"}


@pytest.mark.parametrize(
    ("raw", "thing", "verbs"),
    [
        ({}, ("", "endpoints", "ai-namespace"), ("list", "watch")),
        ({}, ("", "endpoints", "observability"), None),
        # What a Role grants, its maker must hold; beside it pods are only watched.
        ({}, ("", "pods", "ai-namespace"), ("get", "list", "watch")),
        ({}, ("", "pods", "observability"), ("list", "watch")),
        ({"prometheus": EXISTING}, ("", "pods", "ai-namespace"), ("list", "watch")),
        ({"prometheus": EXISTING}, ("", "pods", "monitoring"), None),
    ],
)
def test_each_resource_is_checked_with_the_verbs_that_the_stack_needs(raw, thing, verbs):
    assert required(Settings.model_validate(raw)).get(thing) == verbs
