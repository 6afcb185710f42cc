from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from aihub.traces import Tracing, tracing


def test_a_request_is_a_span_of_the_callers_trace() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    found = Tracing(provider)
    headers = {b"traceparent": f"00-{'a' * 32}-{'b' * 16}-01".encode()}
    with found.request({"method": "GET"}, headers) as span:
        assert span.trace_id == "a" * 32
        with found.span("read", rows=3):
            pass
        span.end("/models/{name}", 200)
    inner, outer = exporter.get_finished_spans()
    assert (outer.name, outer.attributes["http.response.status_code"]) == ("/models/{name}", 200)
    assert (inner.parent.span_id, inner.attributes["rows"]) == (outer.context.span_id, 3)
    found.close()


def test_without_an_address_nothing_is_traced() -> None:
    with tracing("").request({"method": "GET"}, {}) as span:
        assert span.trace_id == ""
        span.end("/", 200)


def test_an_address_that_is_away_costs_a_request_nothing() -> None:
    found = tracing("http://127.0.0.1:9")
    with found.request({"method": "GET"}, {}) as span:
        assert len(span.trace_id) == 32
