"""Preflight on certificates, on a real API server, which also tries a pod that mounts them.

tests/unit/test_preflight_certificates.py has each way in which they can be wrong.
"""

import base64

import trustme

from tests.envoy.harness.secrets import NAME, TLS, pair

CLIENTS = {"ca": {"kind": "configMap", "name": "callers"}}
STACK = {"gateway": {"tls": {**TLS, "clients": CLIENTS}}}


def test_the_secret_and_the_bundle_must_be_there_and_fit(put, found, document, ai_namespace):
    authority = trustme.CA()
    secret, bundle = found(document, inference=[STACK])
    assert "there is no Secret gateway-tls in ai-namespace" in secret
    assert "there is no ConfigMap callers in ai-namespace" in bundle

    files = {key: base64.b64encode(value).decode() for key, value in pair(authority, NAME).items()}
    metadata = {"metadata": {"name": "gateway-tls"}}
    put(f"{ai_namespace}/secrets", {**metadata, "type": "kubernetes.io/tls", "data": files})
    callers = {"metadata": {"name": "callers"}}
    put(f"{ai_namespace}/configmaps", {**callers, "data": {"ca.crt": ""}})
    (empty,) = found(document, inference=[STACK])
    assert "its key ca.crt is empty" in empty
