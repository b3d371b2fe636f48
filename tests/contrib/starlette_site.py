"""What a site of Starlette's, or of FastAPI's, answers in the shared table."""

from starlette.responses import Response, StreamingResponse


def answer_to(case):
    """Do what the site's code does, and return the response that *case* says."""
    case.does()
    headers = dict(case.answer)
    if case.streamed:
        return StreamingResponse(iter(case.chunks), case.status, headers)
    return Response(b"".join(case.chunks), case.status, headers)
