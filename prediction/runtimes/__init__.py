"""Models outside torch: their graphs as ONNX, kept in the user's cache, in the library that is fastest here."""
