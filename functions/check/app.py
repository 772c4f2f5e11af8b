"""GET /check: return the progress of a task and, at the end, the MD5. DELETE /check: cancel the task."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from urlsum import service, wiring
from urlsum.web import responses
from urlsum.web.application import application
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.wiring import Services

router = APIRouter()


@router.head("/check", include_in_schema=False)
@router.get("/check", operation_id="check", summary="Check a task")
def check(
    request: Request,
    task_id: Annotated[str, Depends(responses.task_id)],
    services: Annotated[Services, Depends(wiring.services)],
) -> Response:
    """Return the progress of the task and, at the end, the MD5 of the file or the reason why there is none.

    Anyone with the id may check the task. The response contains neither the email address nor internal state.
    """
    now = services.clock()
    return responses.checked(service.check(task_id, table=services.table, now=now), now, request, services.settings)


@router.delete("/check", operation_id="cancel", summary="Cancel a task")
def cancel(
    request: Request,
    task_id: Annotated[str, Depends(responses.task_id)],
    services: Annotated[Services, Depends(wiring.services)],
) -> Response:
    """Cancel the task if it has not ended: there will be no MD5 and no email.

    Anyone with the id may cancel the task, and may repeat the request. A worker that is reading the file stops at its
    next checkpoint.
    """
    task = service.cancel(task_id, table=services.table, now=services.clock())
    return responses.cancelled(task, request, services.settings)


app = application(router)
handler = LambdaHandler(app)
