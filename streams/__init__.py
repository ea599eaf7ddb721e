"""Stream processing: the pure calculations, the Faust app that runs them, the record-batch transport."""
