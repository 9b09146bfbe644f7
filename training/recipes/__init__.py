"""Training recipes, one for each model; the commands in the folder above read options and call a recipe.

A recipe that needs another model first calls that model's recipe: selection -> student -> own_teacher -> teacher ->
encoder, and metric -> student. Recipes import no command.
"""
