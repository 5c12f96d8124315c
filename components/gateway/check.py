"""Validation of every gateway's bootstrap, before the program declares a resource."""

import pulumi

from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.validate import BootstrapError, validate
from config.load import Refused
from config.problem import Problem
from config.settings import Settings


def check_gateways(settings: Settings) -> None:
    """Validate the bootstrap of every stack's gateway; warn about the parts not checked here.

    Raises:
        Refused: Envoy refuses a bootstrap. The message names the stack and Envoy's own reason.
    """
    problems: list[Problem] = []
    unchecked: set[str] = set()
    for index, stack in enumerate(settings.inference):
        try:
            unchecked.update(validate(bootstrap(stack)))
        except BootstrapError as error:
            problems.append(
                Problem(
                    check="gateway",
                    severity="refuse",
                    keys={f"inference[{index}].gateway": stack.gateway_name},
                    reason=str(error),
                    fix="correct the parameter that Envoy names, under inference[].gateway",
                )
            )
    if problems:
        raise Refused(f"stack {pulumi.get_stack()}", problems)
    for note in sorted(unchecked):
        pulumi.log.warn(f"gateway: {note}")
