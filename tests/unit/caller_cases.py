"""Mutations of the checks on callers."""

from tests.envoy.harness.tokens import TokenIssuer
from tests.unit.case import Case

FIRST = TokenIssuer("https://issuer.example.com").config()
SECOND = TokenIssuer("https://other.example.com").config()
JWT = "inference[0].gateway.callers.jwt"
STAGING = {
    "tier": "staging",
    "platform": {"kind": "kubeconfig", "path": "kubeconfig"},
    "inference[0].triton.awaitRollout": False,
}
PLAIN = {"kind": "none", "acceptPlaintext": "the mesh encrypts"}
TOKENS = {"inference[0].gateway.callers": {"jwt": {"issuers": [FIRST, SECOND]}}}

LIMIT = "inference[0].gateway.callers.limit"
RATE = {"requestsPerSecond": 10}
OVERRIDES = [{**RATE, "caller": "a"}, {**RATE, "caller": "b"}]
LIMITED = {"inference[0].gateway.callers": {
    "jwt": {"issuers": [FIRST]}, "limit": {**RATE, "overrides": OVERRIDES},
}}  # fmt: skip

CASES = [
    Case("tokenIssuers", f"{JWT}.issuers[1].issuer", FIRST["issuer"],
         "is stated 2 times", TOKENS),
    Case("tokenKeys", f"{JWT}.issuers[1].jwks.keys", '{"keys": []}',
         "refuse all its tokens: it has no list", TOKENS),
    Case("callerOverrides", f"{LIMIT}.overrides[1].caller", "a", "has 2 rates", LIMITED),
    Case("callerNames", JWT, None, "may make 10 calls a second", LIMITED),
    Case("tokensInPlainText", "inference[0].gateway.tls.acceptPlaintext", None,
         "until it expires", {**STAGING, **TOKENS, "inference[0].gateway.tls": PLAIN}),
]  # fmt: skip
