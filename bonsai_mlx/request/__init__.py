"""What goes into a generation, as plain data.

A request is one of several operations: `Draw` and `Enlarge`. It is made once, where a caller's words are read, and
goes unchanged through the queue, its row in the index and the engine into the picture's recipe: a new parameter is a
field of one (`draw`, with its bounds in `fields`), and is used where it matters. `Operation` may leave things open,
`ResolvedOperation` leaves nothing open; `Request` and `ResolvedRequest` are what a model draws.
Nothing here imports MLX: a web server validates requests and reads events without loading a tensor library.
"""

from .draw import (
    Draw,
    ResolvedDraw,
    parameters,
)
from .enlarge import (
    Enlarge,
    ResolvedEnlarge,
    drawn_with,
)
from .fields import (
    ANYTHING,
    EXTEND_STRENGTH,
    MAX_CANVAS_AREA,
    MAX_GUIDANCE,
    MAX_MARGIN_PX,
    MAX_PROMPT_CHARS,
    MAX_REFERENCES,
    MAX_SEED,
    MAX_SIZE_PX,
    MAX_STEPS,
    MAX_STYLE_NAME_CHARS,
    MAX_STYLES,
    MIN_SIZE_PX,
    MORPH_STRENGTH,
    REFINE_STRENGTH,
    SIZE_MULTIPLE_PX,
    Prompt,
    Seed,
    Side,
    Steps,
    StyleName,
)
from .idle import (
    plain,
    refuse_idle,
)
from .operations import (
    OPERATIONS,
    VERSION,
    GenerationRequest,
    Operation,
    Request,
    ResolvedOperation,
    ResolvedRequest,
    as_json,
    batch,
    chosen,
    from_json,
    opened,
    operation_of,
)
from .seeds import (
    consecutive_seeds,
    random_seed,
)

__all__ = [
    "ANYTHING",
    "EXTEND_STRENGTH",
    "MAX_CANVAS_AREA",
    "MAX_GUIDANCE",
    "MAX_MARGIN_PX",
    "MAX_PROMPT_CHARS",
    "MAX_REFERENCES",
    "MAX_SEED",
    "MAX_SIZE_PX",
    "MAX_STEPS",
    "MAX_STYLES",
    "MAX_STYLE_NAME_CHARS",
    "MIN_SIZE_PX",
    "MORPH_STRENGTH",
    "OPERATIONS",
    "REFINE_STRENGTH",
    "SIZE_MULTIPLE_PX",
    "VERSION",
    "Draw",
    "Enlarge",
    "GenerationRequest",
    "Operation",
    "Prompt",
    "Request",
    "ResolvedDraw",
    "ResolvedEnlarge",
    "ResolvedOperation",
    "ResolvedRequest",
    "Seed",
    "Side",
    "Steps",
    "StyleName",
    "as_json",
    "batch",
    "chosen",
    "consecutive_seeds",
    "drawn_with",
    "from_json",
    "opened",
    "operation_of",
    "parameters",
    "plain",
    "random_seed",
    "refuse_idle",
]
