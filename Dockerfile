# syntax=docker/dockerfile:1
# Two images from one file:
#   base    for commands that run no model: sink, gateway, router, timekeeper, …  (docker build --target base .)
#   worker  the same with PyTorch and the libraries of the processors            (docker build --target worker .)
ARG PYTHON=3.12

FROM ghcr.io/astral-sh/uv:0.9-python${PYTHON}-bookworm-slim AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/sluice
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY clients/python/pyproject.toml clients/python/README.md clients/python/

# Libraries first, without the project, so that a change of the code does not download them again.
FROM build AS build-base
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra sink --extra gateway --extra router --no-install-project --no-install-workspace
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra sink --extra gateway --extra router --no-editable

FROM build AS build-worker
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra sink --extra models --no-install-project --no-install-workspace
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra sink --extra models --no-editable

FROM python:${PYTHON}-slim-bookworm AS runtime
ENV PATH=/opt/sluice/bin:$PATH PYTHONUNBUFFERED=1 SLUICE_HOME=/var/lib/sluice
RUN useradd --system --uid 10001 --create-home sluice \
 && install -d -o sluice -g sluice /var/lib/sluice
USER sluice
WORKDIR /var/lib/sluice
VOLUME /var/lib/sluice
ENTRYPOINT ["sluice"]
CMD ["--help"]

FROM runtime AS worker
COPY --from=build-worker /opt/sluice /opt/sluice

FROM runtime AS base
COPY --from=build-base /opt/sluice /opt/sluice
