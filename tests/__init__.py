"""The tests, one file per module of the product; a package, so that folders may hold files of the same name."""
