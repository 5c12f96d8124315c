"""What preflight says of the way to a cluster: credentials, addresses, kubeconfigs.

On a real API server; a credential command is a script here, and no cloud's.
"""

import base64
import json
import socket
import stat
import sys

import pytest

from components import cluster_api
from components.preflight import preflight
from components.rights import VERBS
from config.platform import LOCAL_CONTEXT
from config.settings import Settings
from tests.integration.preflights import STACK, token_of, unwrapped, with_server, with_user


def credential_command(tmp_path, body):
    command = tmp_path / "credentials"
    command.write_text(f"#!{sys.executable}\n{body}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(command),
            "installHint": "see the manual",
        }
    }


def test_credentials_by_command_are_used(bare_cluster, document, found, tmp_path):
    status = {"status": {"token": token_of(bare_cluster, "by-command")}}
    user = credential_command(tmp_path, f"print({json.dumps(json.dumps(status))})")
    (message,) = found(with_user(document, **user))
    assert f"may not {', '.join(VERBS)} namespaces" in message


def test_a_client_certificate_by_command_is_used(document, found, tmp_path):
    (named,) = document["users"]
    held = named["user"]

    def pem(key):
        if f"{key}-data" in held:
            return base64.b64decode(held[f"{key}-data"]).decode()
        with open(held[key]) as file:  # noqa: PTH123
            return file.read()

    status = {
        "status": {
            "clientCertificateData": pem("client-certificate"),
            "clientKeyData": pem("client-key"),
        }
    }
    user = credential_command(tmp_path, f"print({json.dumps(json.dumps(status))})")
    assert found(with_user(document, **user)) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.exit('token has expired, log in again')", "token has expired, log in"),
        ("print('hello')", "gave no credentials"),
    ],
)
def test_a_credential_command_that_fails_is_quoted(document, found, tmp_path, body, said):
    (message,) = found(with_user(document, **credential_command(tmp_path, body)))
    assert said in message
    assert "refuses the credentials" in message


def test_a_credential_command_that_is_missing_is_named_with_its_hint(document, found, tmp_path):
    user = credential_command(tmp_path, "")
    user["exec"]["command"] = "no-such-command"
    (message,) = found(with_user(document, **user))
    assert "no-such-command is not installed (see the manual)" in message


def test_a_wrong_token_is_a_matter_of_credentials(document, found):
    (message,) = found(with_user(document, token="wrong"))
    assert "refuses the credentials" in message
    assert "401 Unauthorized" in message


def test_a_server_with_another_certificate_is_not_trusted(document, found):
    (named,) = document["clusters"]
    strange = {
        **document,
        "clusters": [{**named, "cluster": {"server": named["cluster"]["server"]}}],
    }
    (message,) = found(strange)
    assert "its certificate is not of the kubeconfig's authority" in message


def test_a_dead_address_is_one_message(document, found):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert f"https://127.0.0.1:{port}" in message
    assert "does not answer" in message
    assert "platform.path" in message


def test_a_server_that_never_answers_is_not_waited_for(document, found, monkeypatch):
    monkeypatch.setattr(cluster_api, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(cluster_api, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert "takes too long (0.2 s to connect, 0.2 s to answer)" in message


def test_an_address_that_is_no_kubernetes_is_said(document, found):
    (message,) = found(with_server(document, "https://no-such-host.invalid"))
    assert "does not answer" in message


@pytest.mark.parametrize(
    "text",
    ["[1]", "a: b: c", "just text", "clusters: 3", "{clusters: [{}]}", "{users: [{name: x}]}"],
)
def test_what_is_no_kubeconfig_is_said_so(found, text):
    (message,) = found(text)
    assert "cannot be read: it is not a kubeconfig" in message
    assert "fix: correct platform.path, or the file" in message


def test_an_unknown_context_is_named_with_those_there_are(document, found):
    (message,) = found(document, context="prod")
    assert f"has no usable context 'prod'; its contexts: {LOCAL_CONTEXT}" in message
    (message,) = found("kind: Config", context="prod")
    assert "has no usable context 'prod'; its contexts: none" in message
    (message,) = found({**document, "current-context": ""})
    assert f"has no current context; its contexts: {LOCAL_CONTEXT}" in message


def test_a_context_without_its_cluster_is_said(document, found):
    (message,) = found({**document, "clusters": []})
    assert f"context '{LOCAL_CONTEXT}' names '" in message
    assert "which the kubeconfig does not hold" in message


def test_a_missing_file_is_named_with_its_key():
    at = {"kind": "kubeconfig", "path": "nowhere/kubeconfig"}
    (problem,) = preflight(Settings.model_validate({"platform": at}), STACK)
    assert "the kubeconfig nowhere/kubeconfig cannot be read: No such file" in unwrapped(problem)


def test_without_a_local_cluster_the_fix_is_to_start_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = preflight(Settings(), STACK)
    assert "there is no local cluster" in unwrapped(problem)
    assert "fix: start it: make up" in unwrapped(problem)
