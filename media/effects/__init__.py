"""Effects on batches of images: changed colours, camera faults and file compression."""
