"""All routes of A1111's interface."""

from . import extras, following, img2img, lists, machine, options, txt2img

ROUTERS = (
    txt2img.router,
    img2img.router,
    extras.router,
    following.router,
    options.router,
    machine.router,
    lists.router,
)
