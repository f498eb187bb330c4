import time
from collections.abc import Callable

import pytest

from vidstyle.prefetch import Prefetch


def test_order_is_kept(our_threads: Callable[[], list[str]]) -> None:
    with Prefetch(range(1000), 3, "a") as first, Prefetch((i * 2 for i in first), 2, "b") as second:
        assert list(second) == [2 * i for i in range(1000)]
    assert our_threads() == []


def test_it_never_runs_further_ahead_than_told() -> None:
    made: list[int] = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    with Prefetch(items(), 4, "a") as stage:
        for taken in stage:
            time.sleep(0.001)
            assert len(made) <= taken + 1 + 4 + 1  # taken, waiting, and the one in hand
            if taken == 20:
                break
    assert len(made) < 30


def test_an_error_comes_once_after_what_was_made_before_it() -> None:
    def items():
        yield 1
        yield 2
        raise ValueError("broken")

    got = []
    with Prefetch(items(), 4, "a") as stage:
        with pytest.raises(ValueError, match="broken"):
            for item in stage:
                got += [item]  # what came before the error is the point
        assert list(stage) == []
    assert got == [1, 2]


@pytest.mark.parametrize("fails_at", [0, 1, 5, 17])
@pytest.mark.parametrize("stage", ["source", "middle", "reader"])
def test_a_failure_anywhere_ends_every_thread(our_threads: Callable[[], list[str]], stage: str, fails_at: int) -> None:
    def numbers():
        for i in range(50):
            if stage == "source" and i == fails_at:
                raise RuntimeError(stage)
            yield i

    def middle(items):
        for i in items:
            if stage == "middle" and i == fails_at:
                raise RuntimeError(stage)
            yield i

    def run() -> None:
        with Prefetch(numbers(), 2, "a") as first, Prefetch(middle(first), 2, "b") as second:
            for i in second:
                if stage == "reader" and i == fails_at:
                    raise RuntimeError(stage)

    with pytest.raises(RuntimeError, match=stage):
        run()
    assert our_threads() == []
