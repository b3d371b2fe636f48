"""Attribution of files: reading journeys, choosing models, telling what was earned."""
