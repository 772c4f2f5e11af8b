"""GET /check: return the progress of a task and, at the end, the MD5. DELETE and POST /check: cancel the task.

/md5.js: the worker of the page.
"""

from urlsum import init_phase

init_phase.begin()

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from urlsum import cloudwatch, service, wiring
from urlsum.errors import TaskFinished
from urlsum.task import Task
from urlsum.web import plain, prefer, responses, script, task_models  # noqa: F401 - the models, in the init phase
from urlsum.web.application import Route, application
from urlsum.web.cross_site import refuse_cross_site
from urlsum.web.lambda_handler import LambdaHandler
from urlsum.web.negotiation import wants_page
from urlsum.wiring import Services
from urlsum.worker import reuse

router = APIRouter(route_class=Route)
waiting = prefer.Waiting()


@router.head("/check", include_in_schema=False)
@router.get("/check", operation_id="check", summary="Check a task")
async def check(
    request: Request,
    task_id: Annotated[str, Depends(responses.task_id)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Return the progress of the task and, at the end, the MD5 of the file or the reason why there is none.

    Anyone with the id may check the task. The response contains neither the email address nor internal state.
    """
    plain.wanted(request)  # an unknown format is refused at once

    def read() -> Task:
        return service.check(task_id, table=services.table, now=services.clock())

    if services.settings.on_lambda:
        # A Lambda function that waits is paid for, and is one of the ten that a new account may run.
        return _checked(read(), request, services)
    task, applied = await waiting.for_end(read, request, prefer.wait_seconds(request))
    return await run_in_threadpool(_checked, task, request, services, applied)


def _checked(task: Task, request: Request, services: Services, applied: Mapping[str, str] | None = None) -> Response:
    now, reader, ahead = services.clock(), None, None
    if not task.complete and responses.activity(task, now) == "waiting":
        reader = reuse.reader_of(task, services)
        # Not on DynamoDB, where each look-up costs, and SQS keeps another order than the table.
        ahead = None if services.settings.tasks_table else service.ahead_of(task, table=services.table, now=now)
    return responses.checked(task, now, request, services.settings, applied, reader=reader, ahead=ahead)


@router.head(f"/{script.PATH}", include_in_schema=False)
@router.get(f"/{script.PATH}", include_in_schema=False)
def md5_script() -> Response:
    """Return the script with which the page of a finished task hashes a visitor's own copy."""
    return script.respond()


@router.delete("/check", operation_id="cancel", summary="Cancel a task", dependencies=[Depends(refuse_cross_site)])
def cancel(
    request: Request,
    task_id: Annotated[str, Depends(responses.task_id)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Cancel the task if it has not ended: there will be no MD5 and no email.

    Anyone with the id may cancel the task, and may repeat the request. A worker that is reading the file stops at its
    next checkpoint.
    """
    return responses.cancelled(_cancelled(task_id, services), request, services.settings)


@router.post(
    "/check",
    operation_id="cancelByForm",
    summary="Cancel a task, from a form",
    dependencies=[Depends(refuse_cross_site), Depends(responses.means_to_cancel)],
)
def cancel_by_form(
    request: Request,
    task_id: Annotated[str, Depends(responses.task_id)],
    services: Annotated[Services, Depends(wiring.provided)],
) -> Response:
    """Do what DELETE does: a form of HTML can send GET and POST only. The body is ignored.

    A browser is led to the page of the task, whether it was cancelled or had already ended.
    """
    if not wants_page(request):
        return cancel(request, task_id, services)
    with suppress(TaskFinished):  # its page has the result
        _cancelled(task_id, services)
    return responses.see_task(task_id, request, services.settings)


def _cancelled(task_id: str, services: Services) -> Task:
    now = services.clock()
    task = service.cancel(task_id, table=services.table, now=now, limiter=services.limiter)
    if services.settings.on_lambda and task.finished_at == now:  # not cancelled before
        cloudwatch.count("Cancelled", services.settings.stack_name, task_id)
    return task


app = application(router)
handler = LambdaHandler(app, "check")

init_phase.end()
