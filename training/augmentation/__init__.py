"""Augmentation of training images: strong for students, mild for metric models."""
