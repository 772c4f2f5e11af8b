"""GET /check: return the progress of a task and, at the end, the MD5. DELETE /check: cancel the task."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from urlsum import service
from urlsum.web import responses
from urlsum.web.application import application
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.wiring import Ports, ports

router = APIRouter()


@router.head("/check", include_in_schema=False)
@router.get("/check", operation_id="check", summary="Check a task")
def check(
    request: Request, task_id: Annotated[str, Depends(responses.task_id)], use: Annotated[Ports, Depends(ports)]
) -> Response:
    """Return the progress of the task and, at the end, the MD5 of the file or the reason why there is none.

    Anyone with the id may check the task. The response contains neither the email address nor internal state.
    """
    now = use.clock()
    return responses.checked(service.check(task_id, table=use.table, now=now), now, request, use.settings)


@router.delete("/check", operation_id="cancel", summary="Cancel a task")
def cancel(
    request: Request, task_id: Annotated[str, Depends(responses.task_id)], use: Annotated[Ports, Depends(ports)]
) -> Response:
    """Cancel the task if it has not ended: there will be no MD5 and no email.

    Anyone with the id may cancel the task, and may repeat the request. A worker that is reading the file stops at its
    next checkpoint.
    """
    task = service.cancel(task_id, table=use.table, now=use.clock())
    return responses.cancelled(task, request, use.settings)


app = application(router)
handler = LambdaHandler(app)
