"""The networks and the stages that train, round and export them."""
