from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aihub.validation.profile.categories import MAX_EXACT, CategorySummary, label

values = st.lists(st.sampled_from(["a", "b", "<script>", "🌞", ""]) | st.none(), max_size=30)


@given(values, values, values)
def test_merging_few_categories_is_exact_in_any_order(a: Any, b: Any, c: Any) -> None:
    x, y, z = (CategorySummary.of(v) for v in (a, b, c))
    expected = Counter(v for v in a + b + c if v is not None)
    for found in (x.merge(y).merge(z), z.merge(x.merge(y))):
        assert dict(found.counts) == dict(expected)
        assert found.is_exact
        assert (found.rows, found.missing) == (len(a + b + c), (a + b + c).count(None))


def test_many_categories_keep_the_frequent_ones_within_the_stated_error() -> None:
    rare = [f"id{i}" for i in range(5 * MAX_EXACT)]
    parts = [rare[i::4] + ["often"] * 500 for i in range(4)]
    whole = CategorySummary.of(parts[0])
    for part in parts[1:]:
        whole = CategorySummary.of(part).merge(whole)
    truth = Counter(v for part in parts for v in part)
    assert 0 < whole.error <= whole.n / (MAX_EXACT + 1)
    assert whole.counts["often"] <= truth["often"] <= whole.counts["often"] + whole.error
    assert len(whole.counts) <= MAX_EXACT
    assert all(truth[name] >= count for name, count in whole.counts.items())


def test_long_names_are_shortened_and_stay_apart() -> None:
    a, b = label("x" * 500 + "a"), label("x" * 500 + "b")
    assert len(a) <= 100
    assert a != b
    assert label("\ud800" * 200) != label("\ud800" * 201)


def test_mixed_and_unhashable_values_are_categories() -> None:
    found = CategorySummary.of([1, "1", [2], float("nan"), None])
    assert dict(found.counts) == {"1": 2, "[2]": 1}
    assert found.missing == 2
