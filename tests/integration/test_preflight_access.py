"""Preflight's messages about the access to a cluster: credentials, addresses, kubeconfigs.

On a real API server; a credential command is a script here, and no cloud's.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from components.cluster import api as cluster_api
from components.cluster import kubectl_proxy
from components.cluster.permissions import VERBS
from components.common.kubernetes_api import MERGE_PATCH
from config.sections.platform import LOCAL_CONTEXT
from config.settings import Settings
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import api_of, look, token_of, unwrapped, with_server, with_user
from tests.integration.ways import HttpProxy, credential_command, credential_plugin, handing_out


def test_credentials_by_command_are_used(bare_cluster, document, found, tmp_path):
    user = credential_command(tmp_path, handing_out(token=token_of(bare_cluster, "by-command")))
    (message,) = found(with_user(document, **user))
    assert f"may not {', '.join(VERBS)} namespaces" in message


def test_a_client_certificate_by_command_is_used(document, found, tmp_path):
    assert found(with_user(document, **credential_plugin(tmp_path, document))) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.exit('token has expired, log in again')", "token has expired, log in"),
        ("print('hello')", "returned no credentials"),
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
    assert "no authority that the kubeconfig trusts signed its certificate" in message


def test_a_dead_address_is_one_message(document, found):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert f"https://127.0.0.1:{port}" in message
    assert "does not answer" in message
    assert "platform.path" in message


def test_a_server_that_never_answers_is_not_waited_for(document, found, monkeypatch):
    monkeypatch.setattr(cluster_api, "REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (message,) = found(with_server(document, f"https://127.0.0.1:{port}"))
    assert "/version takes longer than 0.2 s" in message


def test_an_address_that_is_no_kubernetes_is_named(document, found):
    (message,) = found(with_server(document, "https://no-such-host.invalid"))
    assert "does not answer" in message


@pytest.mark.parametrize(
    "text",
    ["[1]", "a: b: c", "just text", "clusters: 3", "{users: [{name: 1, user: 2}]}"],
)
def test_a_file_that_is_no_kubeconfig_is_named(found, text):
    (message,) = found(text)
    assert "cannot be read: it is not a kubeconfig" in message
    assert "fix: correct platform.path, or the file" in message


def test_an_unknown_context_is_named_with_those_there_are(document, found):
    (message,) = found(document, context="prod")
    assert f"has no context 'prod'; its contexts: {LOCAL_CONTEXT}" in message
    (message,) = found("kind: Config", context="prod")
    assert "has no context 'prod'; its contexts: none" in message
    (message,) = found({**document, "current-context": ""})
    assert f"has no current context; its contexts: {LOCAL_CONTEXT}" in message


def test_a_context_without_its_cluster_is_named(document, found):
    (message,) = found({**document, "clusters": []})
    assert f"context '{LOCAL_CONTEXT}' names the cluster '{LOCAL_CONTEXT}', " in message
    assert "which the kubeconfig lacks" in message


def test_a_missing_file_is_named_with_its_key():
    at = {"kind": "kubeconfig", "path": "nowhere/kubeconfig"}
    (problem,) = look(Settings.model_validate({"platform": at}))
    assert "the kubeconfig nowhere/kubeconfig cannot be read: No such file" in unwrapped(problem)


def test_without_a_local_cluster_the_fix_is_to_start_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = look(Settings())
    assert "there is no local cluster" in unwrapped(problem)
    assert "fix: start it: make up" in unwrapped(problem)


def test_a_proxy_and_another_server_name_are_used(document, found):
    with HttpProxy(document) as proxy:
        assert found(proxy.document) == []
    assert proxy.asked_for == {proxy.NAME}


def test_a_proxy_that_is_gone_is_named(document, found):
    with HttpProxy(document) as proxy:
        pass
    (message,) = found(proxy.document)
    assert "does not answer: proxyconnect tcp: dial tcp 127.0.0.1:" in message


def test_a_wrong_server_name_is_named(document, found):
    (named,) = document["clusters"]
    cluster = {**named["cluster"], "tls-server-name": "elsewhere.invalid"}
    (message,) = found({**document, "clusters": [{**named, "cluster": cluster}]})
    assert "x509: certificate is valid for" in message
    assert "not elsewhere.invalid" in message


def test_an_address_without_a_scheme_is_taken_as_the_provider_takes_it(document, found):
    (named,) = document["clusters"]
    bare = named["cluster"]["server"].removeprefix("https://")
    assert found(with_server(document, bare)) == []


def test_an_address_with_a_path_is_asked_below_it(document, found):
    """As of a management server that has many clusters behind it."""
    (named,) = document["clusters"]
    with_path = named["cluster"]["server"] + "/k8s/clusters/one"
    (message,) = found(with_server(document, with_path))
    # This API server has nothing there; it would answer if the path was left out.
    assert "it has no /version, so it is not a Kubernetes API server" in message


def test_relative_paths_start_where_the_program_does(document, found, tmp_path, monkeypatch):
    """As in the provider; in kubectl they start in the kubeconfig's folder."""
    (named,) = document["users"]
    project = tmp_path / "project"
    project.mkdir()
    (project / "token").write_text("wrong")
    monkeypatch.chdir(project)
    user = {"tokenFile": "token"}
    (message,) = found({**document, "users": [{**named, "user": user}]})
    assert "refuses the credentials" in message
    user = {"client-certificate": "no-such.crt", "client-key": "no-such.key"}
    (message,) = found({**document, "users": [{**named, "user": user}]})
    assert f"{project}/no-such.crt" in message
    assert "the provider reads relative paths in it from the project's folder" in message


def test_the_users_own_settings_of_kubectl_have_no_say(document, found, tmp_path, monkeypatch):
    strange = tmp_path / "strange"
    strange.write_text("kind: Config")
    preferences = tmp_path / "kuberc"
    defaults = {"command": "proxy", "options": [{"name": "reject-methods", "default": "GET"}]}
    preferences.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kubectl.config.k8s.io/v1beta1",
                "kind": "Preference",
                "defaults": [defaults],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(strange))
    monkeypatch.setenv("KUBERC", str(preferences))
    monkeypatch.setenv("KUBERNETES_MASTER", "http://127.0.0.1:1")
    assert found(document) == []


def test_without_kubectl_the_message_explains_how_to_get_it(document, found, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (message,) = found(document)
    assert "kubectl is not on PATH" in message
    assert 'run eval "$(make -s env)"' in message


def test_a_long_temporary_folder_does_not_matter(document, found, monkeypatch, tmp_path):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(kubectl_proxy.tempfile, "tempdir", str(long))
    assert found(document) == []
    assert list(long.iterdir()) == []


def test_objects_are_made_changed_listed_and_deleted(document):
    at = "/api/v1/namespaces/default/configmaps"
    with api_of(document) as api:
        made = api.ask("POST", at, {"metadata": {"name": "asked"}, "data": {"a": "1"}})
        assert made["data"] == {"a": "1"}
        changed = api.ask("PATCH", f"{at}/asked", {"data": {"b": "2"}}, MERGE_PATCH)
        assert changed["data"] == {"a": "1", "b": "2"}
        tried = api.send("POST", f"{at}?dryRun=All", {"metadata": {"name": "tried"}})
        assert (tried.status, tried.body["metadata"]["name"]) == (201, "tried")
        assert [item["metadata"]["name"] for item in api.items(at)] == ["asked", "kube-root-ca.crt"]
        assert api.send("DELETE", f"{at}/asked").ok
        assert api.ask("GET", f"{at}/asked") == {}
        assert "already exists" in _twice(api, at).message


def _twice(api, at):
    metadata = {"name": "kube-root-ca.crt"}
    return api.send("POST", at, {"metadata": metadata})


def test_a_list_is_read_page_by_page(document, monkeypatch):
    monkeypatch.setattr(cluster_api, "_PAGE", 2)
    with api_of(document) as api:
        names = [item["metadata"]["name"] for item in api.items("/api/v1/namespaces")]
    assert {"default", "kube-public", "kube-system"} <= set(names)
    assert len(names) == len(set(names))


def test_several_threads_ask_at_once_and_kubectl_ends_with_the_last_of_them(document):
    with api_of(document) as api:
        found = []
        askers = [threading.Thread(target=lambda: found.append(api.version())) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert len(found) == 8
        assert len(set(found)) == 1
        (folder,) = [Path(api._proxy._folder)]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_a_kubectl_that_somebody_ended_is_started_again(document):
    with api_of(document) as api:
        version = api.version()
        shell = api._proxy._process.pid
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        command = Path(f"/proc/{child}/cmdline")
        wait_until("it has ended", lambda: not command.exists() or not command.read_bytes())
        assert api.version() == version


def test_a_killed_program_leaves_no_kubectl_behind(document, tmp_path):
    file = tmp_path / "document"
    file.write_text(yaml.safe_dump(document))
    program = (
        "import os, signal, sys, yaml\n"
        "from tests.integration.preflights import api_of\n"
        "api = api_of(yaml.safe_load(open(sys.argv[1]))); api.version()\n"
        "print(api._proxy._socket, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == -9, ran.stderr
    path = ran.stdout.strip()

    def is_gone():
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(path) != 0

    wait_until("nobody serves the socket", is_gone)
