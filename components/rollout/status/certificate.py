"""A Certificate of cert-manager that a rollout's pods need."""

from collections.abc import Sequence

from components.rollout.status.snapshot import Object, condition, is_owned_by, name, part
from components.rollout.status.symptom import Proof, Symptom


def unissued(certificate: Object, requests: Sequence[Object]) -> Symptom | None:
    """Return the obstacle of a Certificate that is not issued as it is stated; None if it is.

    Args:
        certificate: The Certificate.
        requests: CertificateRequests of its namespace.
    """
    if condition(certificate, "Ready").get("status") == "True" and _is_current(certificate):
        return None
    on = f"Certificate {name(certificate)}"
    issuing = condition(certificate, "Issuing")
    if issuing.get("status") == "False" and _is_current(certificate, "Issuing"):
        words = (
            f"{issuing.get('message')}; cert-manager retries an hour after a failure or later. To "
            f"retry at once: cmctl -n {part(certificate, 'metadata').get('namespace')} renew "
            f"{name(certificate)}"
        )
        return Symptom(on, str(issuing.get("reason")), words, Proof.COMPLETE)
    own = [request for request in requests if is_owned_by(request, certificate)]
    own.sort(key=lambda request: str(part(request, "metadata").get("creationTimestamp")))
    # The Certificate says that it is not there; its last request says why.
    why = condition(own[-1] if own else certificate, "Ready") or condition(certificate, "Ready")
    words = str(why.get("message") or "cert-manager has set no condition: do its pods run?")
    return Symptom(on, "not issued", words)


def _is_current(certificate: Object, kind: str = "Ready") -> bool:
    """Return True if a condition is about the Certificate as it is stated now."""
    generation = int(part(certificate, "metadata").get("generation", 0))
    return int(condition(certificate, kind).get("observedGeneration", 0)) >= generation
