"""What training images go through: strong for students, mild for metres."""
