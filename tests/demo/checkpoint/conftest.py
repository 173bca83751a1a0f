"""A layout, made once."""

from __future__ import annotations

import pytest
from stream_omni_demo.checkpoint.stages import make_layout
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.plan import SMOKE


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Not to be changed."""
    workshop = Workshop(tmp_path_factory.mktemp("work"), SMOKE)
    make_layout(workshop)
    return workshop
