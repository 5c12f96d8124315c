"""The documented rights cover every AWS resource that staging and prod declare.

Not shown: that AWS asks for these actions and no others.
"""

import re

import pytest
from botocore.loaders import Loader

from ops.eks.rights import RIGHTS, actions, markdown
from tests.standin_aws.kinds import KINDS

_MODELS = {"autoscaling": "autoscaling", "ec2": "ec2", "eks": "eks", "iam": "iam", "sts": "sts"}
NO_OPERATIONS = {"iam:PassRole"}
"""Actions that are rights alone, of which the API has no operation."""


def test_every_declared_type_has_its_rights() -> None:
    assert KINDS.keys() <= RIGHTS.keys()


@pytest.mark.parametrize("action", actions(RIGHTS))
def test_an_action_is_an_operation_of_the_services_own_model(action: str) -> None:
    service, _, operation = action.partition(":")
    model = Loader().load_service_model(_MODELS[service], "service-2")
    assert action in NO_OPERATIONS or operation in model["operations"]


def test_an_unknown_type_has_no_rights() -> None:
    with pytest.raises(KeyError, match="aws:s3"):
        actions(["aws:s3/bucket:Bucket"])


def test_the_document_names_each_action_once() -> None:
    named = re.findall(r"`(\w+)`", markdown())
    assert len(named) == len(actions(RIGHTS)) + len(_MODELS)
