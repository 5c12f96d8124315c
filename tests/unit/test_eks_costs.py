"""The costs in the documents follow from the shipped files.

Not shown: that AWS asks these prices.
"""

import pytest

from ops.eks import costs


def test_each_node_group_has_its_price_at_both_sizes() -> None:
    table = costs.markdown()
    assert "| `Pulumi.prod.yaml` | g6.12xlarge, on demand | 4.60 USD | 2: 9.20 USD" in table
    assert "| `Pulumi.staging.yaml` | g6.24xlarge, spot | at most 6.68 USD |" in table


def test_a_type_without_a_price_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(costs.USD_PER_HOUR, "g6.12xlarge")
    with pytest.raises(KeyError, match=r"g6\.12xlarge"):
        costs.markdown()
