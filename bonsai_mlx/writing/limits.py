"""How much is written on how much."""

MAX_PROMPT_CHARS = 2_000
MAX_PROPOSALS = 8
PROPOSALS = 3
MAX_TOKENS = 160  # of a text; 80 words are about 110
