"""AUTOMATIC1111's interface under /sdapi/v1, as far as it makes sense for the models here."""
