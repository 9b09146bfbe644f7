"""Any modality from any other with a 4M model: loading, converting arrays and files."""
