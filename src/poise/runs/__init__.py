"""What stands under `runs/<id>/` in the store: the record of one run, its lease, metrics and checkpoints."""
