"""The tab for photos: its parts and views, and what they do."""
