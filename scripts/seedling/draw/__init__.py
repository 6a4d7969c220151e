"""The drawings that the model is trained on, with their captions: scenes, subjects, landscapes, words."""
