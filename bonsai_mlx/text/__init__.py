"""From words to token ids: tokenizers and the chat templates that come with them."""
