"""How each model is trained; the commands beside this folder only read options and call a recipe.

A recipe that needs another model first calls its recipe: selection -> student -> own_teacher -> teacher -> encoder,
metric -> student. None of them imports a command.
"""
