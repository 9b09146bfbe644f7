"""Loading of depth models and prediction of arrays, files and videos."""
