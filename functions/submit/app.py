"""POST /submit: accept a URL and return the id of its task. GET /: say how to use the service, or show a form."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from urlsum import service, wiring
from urlsum.service import Submission
from urlsum.web import responses
from urlsum.web.application import application
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.web.submission import read_submission
from urlsum.wiring import Services

router = APIRouter()


@router.head("/", include_in_schema=False)
@router.get("/", operation_id="about", summary="About the service")
def about(request: Request, services: Annotated[Services, Depends(wiring.services)]) -> Response:
    """Describe the service and how to use it; a browser gets a form."""
    return responses.about(request, services.settings)


@router.post("/submit", status_code=HTTPStatus.ACCEPTED, operation_id="submit", summary="Submit a URL")
def submit(
    request: Request,
    submission: Annotated[Submission, Depends(read_submission)],
    services: Annotated[Services, Depends(wiring.services)],
) -> Response:
    """Store and queue a task that hashes the file at `url`.

    The response comes before the file is read: `/check` says whether it can be read.
    """
    task_id = service.submit(
        submission,
        table=services.table,
        queue=services.queue,
        guard=services.guard,
        now=services.clock(),
        ttl_days=services.settings.task_ttl_days,
    )
    return responses.accepted(task_id, request, services.settings)


app = application(router)
handler = LambdaHandler(app)
