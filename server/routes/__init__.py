"""One module per interface. Handlers parse, call the studio's parts, and answer; no state lives here."""
