"""What colours, cameras and files do to batches of images."""
