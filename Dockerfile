# syntax=docker/dockerfile:1
# One image for all roles: `aihub up`, `aihub serve`, `aihub worker`. Runs as nobody in particular, on a read-only file
# system; everything that is kept lies under /data. Base images are pinned by version; pin them by digest where you build.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/image.lock requirements/
RUN python -m venv /opt/aihub \
 && /opt/aihub/bin/python -m pip install --require-hashes --requirement requirements/image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/aihub/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
# LightGBM needs the system's OpenMP runtime.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin aihub \
 && install --directory --owner aihub --mode 0700 /data
COPY --from=build /opt/aihub /opt/aihub
ENV PATH=/opt/aihub/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    AIHUB_HOME=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
ENTRYPOINT ["aihub"]
CMD ["up", "--host", "0.0.0.0"]
