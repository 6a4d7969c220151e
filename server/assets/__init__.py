"""The files that pages are made with: their addresses, and what comes in one request. Knows no page."""
