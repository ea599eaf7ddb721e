"""Stream processing: pure calculations, the Faust app that runs them, and a record-batch transport."""
