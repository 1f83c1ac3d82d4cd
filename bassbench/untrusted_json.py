"""JSON that others wrote: whatever is wrong with it is a ValueError, also how deep it is nested."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value that the text stands for.

    Raises:
        ValueError: it is not JSON, or nested deeper than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
