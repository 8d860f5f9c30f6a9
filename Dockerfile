# docker buildx build --platform linux/arm64 -t export-status .
# `make base-digest` looks up the digest and commits it; infra/README.md has what to pass for the labels.

ARG PYTHON_VERSION=3.14.10
ARG PYTHON_DIGEST=""

FROM python:${PYTHON_VERSION}-slim-trixie${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS build
WORKDIR /build
# A virtual environment without pip: what is installed from here runs, and can install nothing itself.
RUN python -m venv --without-pip /opt/export-status
COPY requirements.lock ./
RUN python -m pip --python /opt/export-status/bin/python install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY infra/image-build.lock infra/
RUN python -m venv --without-pip /opt/hatchling \
 && python -m pip --python /opt/hatchling/bin/python install --no-cache-dir --require-hashes --no-deps -r infra/image-build.lock
COPY pyproject.toml README.md ./
COPY infra/data.yaml infra/
COPY infra/iam infra/iam
COPY handlers handlers
COPY processor processor
RUN /opt/hatchling/bin/python -m hatchling build -t wheel \
 && python -m pip --python /opt/export-status/bin/python install --no-cache-dir --no-index --no-deps dist/export_status-*.whl

FROM python:${PYTHON_VERSION}-slim-trixie${PYTHON_DIGEST:+@${PYTHON_DIGEST}}
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="export-status" \
      org.opencontainers.image.description="Event-driven processor for export requests" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
RUN python -m pip uninstall --yes --root-user-action=ignore pip
COPY --from=build /opt/export-status /opt/export-status
ENV PATH="/opt/export-status/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1
# The health file's place. As a volume it stays writable, mode 1777, under a read-only root file system.
VOLUME ["/tmp"]
WORKDIR /srv
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["export-status", "healthcheck"]
ENTRYPOINT ["export-status"]
CMD ["run"]
