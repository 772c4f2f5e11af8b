"""POST /submit: accept a URL and return the id of its task. GET /: say how to use the service, or show a form.

/unsubscribe: end all email to a mailbox. /docs and /openapi.json: the description of the API.
"""

from urlsum import init_phase

init_phase.begin()

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from urlsum import cloudwatch, service, wiring
from urlsum.service import Submission
from urlsum.web import description, render, responses, trail
from urlsum.web.application import Route, application
from urlsum.web.cross_site import refuse_cross_site
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.web.submission import read_submission
from urlsum.wiring import Services

router = APIRouter(route_class=Route)


@router.head("/", include_in_schema=False)
@router.get("/", operation_id="about", summary="About the service")
def about(request: Request, services: Annotated[Services, Depends(wiring.provided)]) -> Response:
    """Describe the service and how to use it; a browser gets a form."""
    return responses.about(request, services.settings)


@router.post(
    "/submit",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="submit",
    summary="Submit a URL",
    dependencies=[Depends(refuse_cross_site)],
)
def submit(
    request: Request,
    submission: Annotated[Submission, Depends(read_submission)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Store and queue a task that hashes the file at `url`.

    The response comes before the file is read: `/check` says whether it can be read.
    """
    admission = services.limiter.admission()
    task_id = service.submit(
        submission,
        table=services.table,
        queue=services.queue,
        guard=services.guard,
        secret=services.secret,
        now=services.clock(),
        ttl_days=services.settings.task_ttl_days,
        local_email=services.settings.mail_backend != "ses",
        admission=admission,
    )
    facts = trail.accepted(request.state.client, submission)
    if services.settings.on_lambda:  # a metric filter in template.yaml counts these lines
        cloudwatch.event("accepted", task_id, **facts)
    else:
        trail.log_accepted(task_id, facts)
    return responses.accepted(task_id, request, services.settings, admission.allowances)


@router.head("/unsubscribe", include_in_schema=False)
@router.get("/unsubscribe", operation_id="subscription", summary="Whether a mailbox gets email")
def subscription(
    request: Request,
    token: Annotated[str, Depends(responses.token)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Return whether email is sent to the mailbox whose email has this link. It changes nothing."""
    suppressed = service.is_suppressed(token, records=services.records, secret=services.secret, now=services.clock())
    return responses.subscription(request, services.settings, suppressed=suppressed)


@router.post("/unsubscribe", operation_id="unsubscribe", summary="Unsubscribe from emails")
def unsubscribe(
    request: Request,
    token: Annotated[str, Depends(responses.token)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Send no more email to the mailbox whose email has this link (RFC 8058). The body is ignored."""
    # From any site: the token is the proof, and a mail program may well be another site's page.
    service.unsubscribe(token, records=services.records, secret=services.secret, now=services.clock())
    return responses.subscription(request, services.settings, suppressed=True)


@router.head("/docs", include_in_schema=False)
@router.get("/docs", include_in_schema=False)
def docs(request: Request, services: Annotated[Services, Depends(wiring.provided)]) -> Response:
    """Return the description of the API as a page."""
    return description.as_page(render.home(request, services.settings))


@router.head("/openapi.json", include_in_schema=False)
@router.get("/openapi.json", include_in_schema=False)
def openapi() -> Response:
    """Return the description of the API for programs."""
    return description.as_json()


app = application(router)
handler = LambdaHandler(app, "submit")

init_phase.end()
