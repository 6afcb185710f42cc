"""OpenTelemetry traces where an address for them is configured; nothing is imported or measured otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aihub.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SERVICE = "aihub"


class RequestSpan:
    """The span of one request; does nothing where traces are off."""

    def __init__(self, span: Any | None = None) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """Id of the trace in hexadecimal digits, empty where traces are off."""
        return "" if self._span is None else f"{self._span.get_span_context().trace_id:032x}"

    def end(self, route: str, status: int) -> None:
        """Say what the request was and how it was answered."""
        if self._span is None:
            return
        self._span.update_name(route)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)


class Tracing:
    """Where spans go; `Tracing()` is off.

    Parameters
    ----------
    provider
        A `TracerProvider` of the OpenTelemetry SDK, or None.
    """

    def __init__(self, provider: Any | None = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer(SERVICE)

    @contextmanager
    def request(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Iterator[RequestSpan]:
        """Trace one HTTP request, as part of the caller's trace where it names one."""
        if self._tracer is None:
            yield RequestSpan()
            return
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an optional extra
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - as above
            TraceContextTextMapPropagator,
        )

        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        with self._tracer.start_as_current_span(
            "request",
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"]},
        ) as span:
            yield RequestSpan(span)

    @contextmanager
    def span(self, name: str, **attributes: Any) -> Iterator[None]:
        """Trace a piece of work, such as one step of a job."""
        if self._tracer is None:
            yield
            return
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def close(self) -> None:
        """Send what is still to be sent."""
        if self._provider is not None:
            self._provider.shutdown()


def tracing(endpoint: str) -> Tracing:
    """Return traces that go to `endpoint` by OTLP over HTTP; off where it is empty.

    Raises
    ------
    ConfigError
        The extra that can do it is not installed.
    """
    if not endpoint:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an optional extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
    except ImportError:
        raise ConfigError(
            "traces need the extra: pip install 'aihub[otel]', or unset AIHUB_OTEL_ENDPOINT",
            field="otel_endpoint",
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))
    )
    return Tracing(provider)
