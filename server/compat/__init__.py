"""The interfaces of other programs, and the page that says how to connect them."""
