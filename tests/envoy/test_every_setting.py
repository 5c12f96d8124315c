"""Every HTTP/2, retry, health-check and outlier setting has a test that fails without it.

Those tests run on a real Envoy; here only the bootstrap's settings are held against their names.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack
from tests.envoy import (
    test_connection,
    test_ejection,
    test_health,
    test_limits,
    test_replicas,
    test_retries,
    test_upstream,
    test_windows,
)
from tests.envoy.harness import parts

SHOWN: dict[str, Callable[..., None]] = {
    "downstream.max_concurrent_streams": (
        test_limits.test_one_connection_carries_the_streams_that_the_stack_states
    ),
    "downstream.initial_stream_window_size": (
        test_windows.test_a_call_that_no_replica_takes_does_not_fill_the_gateways_memory
    ),
    "downstream.initial_connection_window_size": (
        test_connection.test_large_calls_to_a_stuck_replica_do_not_stop_the_others
    ),
    "downstream.max_outbound_frames": (
        test_connection.test_a_burst_that_is_refused_at_once_does_not_end_its_connection
    ),
    "downstream.max_outbound_control_frames": (
        test_connection.test_a_burst_that_is_refused_at_once_does_not_end_its_connection
    ),
    "downstream.override_stream_error_on_invalid_http_message": (
        test_connection.test_a_malformed_call_ends_its_stream_and_not_the_connection
    ),
    "downstream.stream_reset_burst": (
        test_connection.test_calls_that_are_each_reset_at_once_do_not_end_their_connection
    ),
    "downstream.connection_keepalive": (
        test_connection.test_the_connection_of_a_caller_that_is_gone_is_ended
    ),
    "upstream.max_concurrent_streams": (
        test_limits.test_the_fleet_limit_needs_each_of_its_settings
    ),
    "upstream.initial_stream_window_size": (
        test_windows.test_answers_that_nobody_takes_do_not_fill_the_gateways_memory
    ),
    "upstream.initial_connection_window_size": (
        test_windows.test_answers_that_nobody_takes_do_not_stop_the_others
    ),
    "upstream.max_outbound_frames": (
        test_upstream.test_deadlines_that_fire_together_do_not_end_the_connection_to_a_busy_replica
    ),
    "upstream.max_outbound_control_frames": (
        test_upstream.test_deadlines_that_fire_together_do_not_end_the_connection_to_a_busy_replica
    ),
    "upstream.override_stream_error_on_invalid_http_message": (
        test_upstream.test_a_malformed_answer_ends_its_stream_and_not_the_connection
    ),
    "upstream.max_header_field_size_kb": (
        test_upstream.test_a_long_error_message_ends_its_stream_and_not_the_connection
    ),
    "retry.retry_on.connect-failure": (
        test_retries.test_a_call_that_a_replica_refuses_is_tried_on_another
    ),
    "retry.retry_on.refused-stream": (
        test_retries.test_a_call_that_a_stopping_replica_turns_away_is_tried_on_another
    ),
    "retry.num_retries": test_retries.test_a_call_is_retried_as_often_as_stated,
    "retry.retry_host_predicate": (
        test_retries.test_a_call_that_a_replica_refuses_is_tried_on_another
    ),
    "retry.host_selection_retry_max_attempts": (
        test_retries.test_a_call_that_a_replica_refuses_is_tried_on_another
    ),
    "retry_budget.budget_percent": (test_retries.test_the_budget_for_retries_is_as_large_as_stated),
    "retry_budget.min_retry_concurrency": (
        test_retries.test_the_budget_for_retries_is_as_large_as_stated
    ),
    "health.interval": test_health.test_checks_follow_one_another_as_stated,
    "health.timeout": test_health.test_a_check_that_is_answered_later_than_stated_has_failed,
    "health.unhealthy_threshold": (
        test_health.test_a_replica_is_out_after_as_many_failed_checks_as_stated
    ),
    "health.healthy_threshold": (
        test_health.test_a_replica_is_back_after_as_many_good_checks_as_stated
    ),
    "health.http_health_check": (
        test_replicas.test_a_replica_that_fails_its_health_check_gets_no_calls
    ),
    "health.no_traffic_interval": test_health.test_replicas_are_checked_before_the_first_call,
    "health.unhealthy_interval": test_health.test_a_replica_that_starts_is_checked_more_often,
    "health.unhealthy_edge_interval": (
        test_health.test_a_replica_that_starts_is_checked_more_often
    ),
    "balance.healthy_panic_threshold": (
        test_replicas.test_replicas_that_start_get_no_calls_however_many_there_are
    ),
    "balance.update_merge_window": (
        test_health.test_what_a_health_check_finds_holds_for_the_next_call
    ),
    "outlier.interval": test_ejection.test_an_ejection_ends_when_stated,
    "outlier.base_ejection_time": test_ejection.test_an_ejection_ends_when_stated,
    "outlier.max_ejection_percent": (
        test_ejection.test_at_most_the_stated_share_of_the_fleet_is_ejected
    ),
    "outlier.split_external_local_origin_errors": (
        test_ejection.test_a_replica_that_refuses_connections_is_ejected
    ),
    "outlier.consecutive_local_origin_failure": test_ejection.test_no_reset_ejects_a_replica,
    "outlier.enforcing_consecutive_5xx": test_ejection.test_no_status_ejects_a_replica,
    "outlier.enforcing_success_rate": (
        test_ejection.test_a_replica_that_only_stands_out_is_not_ejected
    ),
    "outlier.enforcing_local_origin_success_rate": (
        test_ejection.test_a_replica_that_only_stands_out_is_not_ejected
    ),
}
"""Setting -> the test that fails when it is taken away."""

_HTTP2_DEFAULTS = {
    "hpack_table_size": 4096,
    "max_consecutive_inbound_frames_with_empty_payload": 1,
    "max_inbound_priority_frames_per_stream": 100,
    "max_inbound_window_update_frames_per_data_frame_sent": 10,
}

WRITTEN_DOWN: dict[str, Any] = {
    **{f"downstream.{name}": value for name, value in _HTTP2_DEFAULTS.items()},
    **{f"upstream.{name}": value for name, value in _HTTP2_DEFAULTS.items()},
    "outlier.max_ejection_time": "300s",
    "outlier.enforcing_consecutive_local_origin_failure": 100,
    "outlier.enforcing_consecutive_gateway_failure": 0,
    "outlier.enforcing_failure_percentage": 0,
    "outlier.enforcing_failure_percentage_local_origin": 0,
}
"""Envoy 1.40's own defaults, written because they change with releases: nothing to take away."""


def settings(config: Json) -> Iterator[tuple[str, Any]]:
    """Every setting of the four blocks, by block and name, with its value."""
    blocks = [
        ("downstream", parts.http2_down(config)),
        ("upstream", parts.http2_up(config)),
        *(("retry", policy) for policy in parts.retry_policies(config)),
        ("retry_budget", parts.retry_budget(config)),
        ("health", parts.health_check(config)),
        ("balance", parts.common_balance(config)),
        ("outlier", parts.outliers(config)),
    ]
    for block, fields in blocks:
        for name, value in fields.items():
            if name == "retry_on":
                yield from ((f"{block}.{name}.{reason}", reason) for reason in value.split(","))
            else:
                yield f"{block}.{name}", value


def check(config: Json) -> None:
    found = list(settings(config))
    names = {name for name, _ in found}
    assert names == SHOWN.keys() | WRITTEN_DOWN.keys()
    assert {name: value for name, value in found if name in WRITTEN_DOWN} == WRITTEN_DOWN


def test_every_setting_is_shown_by_a_test_or_is_envoys_own_default():
    assert not SHOWN.keys() & WRITTEN_DOWN.keys()
    check(bootstrap(InferenceStack()))


def new_setting(config):
    parts.outliers(config)["failure_percentage_threshold"] = 85


def new_reason(config):
    parts.retry_policies(config)[0]["retry_on"] += ",cancelled"


def lost_setting(config):
    del parts.http2_up(config)["initial_stream_window_size"]


def default_no_longer(config):
    parts.outliers(config)["max_ejection_time"] = "600s"


@pytest.mark.parametrize("edit", [new_setting, new_reason, lost_setting, default_no_longer])
def test_a_setting_without_a_test_is_noticed(edit):
    config = bootstrap(InferenceStack())
    edit(config)
    with pytest.raises(AssertionError):
        check(config)
