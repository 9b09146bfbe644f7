"""The page: tabs, API, how they are wired to gradio, how they look. What they compute is in the folder above."""
