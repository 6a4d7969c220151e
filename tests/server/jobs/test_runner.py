import pytest

from server.jobs.runner import patience_s
from server.settings import Settings


@pytest.mark.parametrize(
    ("learned", "drawing_s", "cancelling_s"),
    [
        ([0.5, 0.2], 60, 10),  # quick steps: the floors
        ([35.0, 12.0], 350, 105),  # the published checkpoint on two slow cores: no step that goes well is cut off
        ([4.0], 60, 12),
        ([None, 2.0], 900, 60),
        ([None, None], 900, 60),
    ],
)
def test_patience_follows_what_was_learned(learned: list[float | None], drawing_s: float, cancelling_s: float) -> None:
    assert patience_s(Settings(), learned, cancelling=False) == drawing_s
    assert patience_s(Settings(), learned, cancelling=True) == cancelling_s
