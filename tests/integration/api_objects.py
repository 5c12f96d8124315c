"""Objects that a test makes by an API server, and removes."""

from contextlib import contextmanager

from tests.envoy.harness.waiting import wait_until


@contextmanager
def objects(api):
    """Make objects, which go at the end."""
    made = []

    def make(path, body, group_version="v1"):
        answer = api.send("POST", path, {"apiVersion": group_version, **body})
        assert answer.ok, answer.text
        made.append(f"{path}/{body['metadata']['name']}")
        return answer.body

    yield make
    for path in reversed(made):
        api.send("DELETE", f"{path}?propagationPolicy=Foreground")
    for path in reversed(made):
        wait_until(f"{path} is gone", lambda path=path: api.ask("GET", path) == {}, 60)
