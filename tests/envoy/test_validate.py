"""A bootstrap that Envoy would refuse is refused before anything is applied."""

import copy
import socket
import subprocess
import tempfile

import pytest

from components.gateway import workload as gateway
from components.gateway.envoy import validate
from components.gateway.envoy.bootstrap import arguments, bootstrap
from components.gateway.envoy.validate import BootstrapError
from config.sections.inference import InferenceStack
from tests.envoy.harness import parts
from tests.envoy.harness.secrets import common
from tests.envoy.harness.waiting import free_ports

STATIC = {"inFlight": {"kind": "static"}}
TLS = {"tls": {"kind": "secret", "secretName": "gateway-tls", "minVersion": "1.2"}}


@pytest.mark.parametrize(
    "stack",
    [
        {},
        {"gateway": STATIC},
        {"gateway": TLS},
        {"gateway": {"retries": {"attempts": 0}}},
        {"gateway": {"streamWindowKib": 1024 * 1024}},
        {"namePrefix": "team-a-", "traffic": {"deadlineSeconds": 0.05, "maxStreamSeconds": 0.5}},
        {"traffic": {"deadlineSeconds": 300, "serviceTimeSeconds": 0.001, "parallelism": 64}},
        {"autoscaler": {"maxReplicas": 500}},
    ],
)
def test_envoy_accepts_what_the_parameters_allow(stack):
    assert validate.validate(bootstrap(InferenceStack.model_validate(stack))) == []


def test_envoy_accepts_its_command_line_and_the_file_as_it_is_mounted(tmp_path):
    path = tmp_path / gateway.BOOTSTRAP_FILE
    path.write_text(gateway.config_files(InferenceStack())[gateway.BOOTSTRAP_FILE])
    command = [validate.envoy_path(), *arguments(str(path)), "--mode", "validate"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def typo(config):
    parts.cluster(config)["conect_timeout"] = "1s"


def unknown_cluster(config):
    parts.routes(config)[1]["cluster"] = "elsewhere"


def window_too_small(config):
    parts.http2_down(config)["initial_stream_window_size"] = 1024


def negative_timeout(config):
    parts.cluster(config)["connect_timeout"] = "-1s"


def broken_tag(config):
    config["stats_config"]["stats_tags"][0]["regex"] = "("


def misspelt_version(config):
    common(config)["tls_params"]["tls_minimum_protocol_version"] = "TLSv1.3"


def unknown_action(config):
    config["overload_manager"]["actions"][0]["name"] = "envoy.overload_actions.shrink_heep"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (typo, "no such field: 'conect_timeout'"),
        (unknown_cluster, "unknown cluster 'elsewhere'"),
        (window_too_small, "InitialStreamWindowSize: value must be inside range"),
        (negative_timeout, "Expected positive duration: seconds: -1"),
        (broken_tag, "Invalid regex '('"),
        (misspelt_version, "TLSv1.3"),
        (unknown_action, "Unknown Overload Manager Action envoy.overload_actions.shrink_heep"),
    ],
)
def test_the_message_has_envoys_own_reason_in_one_line(edit, said):
    config = copy.deepcopy(bootstrap(InferenceStack.model_validate({"gateway": TLS})))
    edit(config)
    with pytest.raises(BootstrapError) as error:
        validate.validate(config)
    message = str(error.value)
    assert message.startswith("Envoy refuses its bootstrap: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 600


def test_the_check_opens_no_port(tmp_path, monkeypatch):
    """It passes while the ports are taken, and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    (port,) = free_ports(1)
    config = bootstrap(InferenceStack.model_validate({"gateway": TLS}))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", port)):
        config["admin"]["address"]["socket_address"]["port_value"] = port
        assert validate.validate(config) == []
    assert list(tmp_path.iterdir()) == []


class TestWithoutEnvoy:
    """Where Envoy cannot run, its protobuf types stand in for it."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, monkeypatch):
        monkeypatch.setattr(validate.sys, "platform", "darwin")

    def test_what_was_not_checked_is_named(self):
        values, fields = validate.validate(bootstrap(InferenceStack()))
        assert "not their values" in values
        assert fields.endswith(
            "BodySizeLimit, max_connection_duration_jitter, max_header_field_size_kb, "
            "stream_reset_burst"
        )

    def test_a_misspelt_field_is_still_refused(self):
        config = copy.deepcopy(bootstrap(InferenceStack()))
        typo(config)
        with pytest.raises(BootstrapError, match='no field named "conect_timeout"'):
            validate.validate(config)

    def test_only_extensions_that_the_types_lack_are_left_out(self, monkeypatch):
        monkeypatch.setattr(validate, "_NEWER_MESSAGES", frozenset())
        with pytest.raises(BootstrapError, match="BodySizeLimit"):
            validate.validate(bootstrap(InferenceStack()))

    @pytest.mark.parametrize("field", sorted(validate._NEWER_FIELDS))
    def test_only_fields_that_the_types_lack_are_left_out(self, field, monkeypatch):
        monkeypatch.setattr(validate, "_NEWER_FIELDS", validate._NEWER_FIELDS - {field})
        with pytest.raises(BootstrapError, match=f'no field named "{field}"'):
            validate.validate(bootstrap(InferenceStack()))
