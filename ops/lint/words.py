"""Words and phrases that the documentation of Kubernetes and Envoy would not use."""

import re
from collections.abc import Iterator

from ops.lint.finding import Finding

_RULES = {
    r"an[e]w": "write `again`, or `recreate`",
    r"(is|are|was|were) [s]aid": "name the agent: `prints`, `names`, `reports`",
    r"looked [a]t": "write `checks`, `reads` or `inspects`, and name the agent",
    r"roll[- ]out(s)?": "write `rollout`",
    r"t(ry|ries|ried|rying) [a]gain": "write `retry`",
    r"who(so)?[e]ver": "name the agent",
}
"""Fix of each phrase. The brackets keep this table from matching itself."""

_PHRASES = [(re.compile(rf"\b{phrase}\b", re.IGNORECASE), fix) for phrase, fix in _RULES.items()]


def check_words(file: str, source: str) -> Iterator[Finding]:
    """Yield the phrases that have a plain equivalent, in text, comments and names."""
    for number, line in enumerate(source.splitlines(), start=1):
        words = line.replace("_", " ")
        for phrase, fix in _PHRASES:
            if found := phrase.search(words):
                yield Finding(file, number, f"{found[0]!r}: {fix}")
