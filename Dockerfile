# urlsum for self-hosters: the server by default, a worker with `--entrypoint rq`. README.md, "Run it with Docker".

FROM python:3.13-slim AS build
WORKDIR /app
COPY selfhost/requirements.txt requirements.txt
# Compiled once, below: pip would bind the bytecode to the time stamps of files that are copied later.
RUN python -m venv venv \
 && venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile \
      --require-hashes -r requirements.txt \
 && venv/bin/pip uninstall --yes --quiet pip \
 && rm requirements.txt
# Keeps only the AWS service descriptions that urlsum and its credential lookup use, which saves 16 MiB.
RUN find venv/lib/*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
    -not -name dynamodb -not -name sesv2 -not -name sqs -not -name sts -not -name 'sso*' -not -name signin \
    -exec rm -r {} +
COPY functions functions
COPY selfhost selfhost
COPY src/urlsum urlsum
RUN venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

FROM python:3.13-slim
# A uid that no distribution assigns to its own users.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin urlsum \
 && install -d -o urlsum -g urlsum /data
COPY --from=build /app /app
WORKDIR /app
# So that a relative DATABASE_URI, such as that of .env.example, lies in the volume too.
RUN ln -s /data data
# DATABASE_URI and OUTBOX_DIR are defaults; both lie in the volume.
ENV PATH=/app/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RQ_CONFIG=selfhost.rq_config \
    RQ_WORKER_CLASS=selfhost.rq_worker.Worker \
    DATABASE_URI=sqlite:////data/urlsum.db \
    OUTBOX_DIR=/data/outbox
USER urlsum
EXPOSE 5000
# A worker's check took 8.5 s on two cores with a load of 13. A server's gives up by itself after 8 s.
HEALTHCHECK --interval=5s --timeout=30s --start-period=60s CMD ["python", "-m", "selfhost.health"]
ENTRYPOINT ["python", "-m", "selfhost.server", "--host", "::"]
