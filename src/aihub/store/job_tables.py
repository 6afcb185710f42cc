"""The tables of deliveries: jobs with their steps and logs, approvals, rollouts, schedules and datasets."""

from __future__ import annotations

import sqlalchemy as sa

from aihub.store.columns import BigInt, UtcDateTime, json_column, metadata, row_id, tenant

JOB_STATES = ("queued", "running", "waiting", "completed", "failed", "cancelled")

jobs = sa.Table(
    "jobs",
    metadata,
    # The order of submission; what clients see is `uid`.
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(40), nullable=False, unique=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("queue", sa.String(32), nullable=False),
    # Smaller is sooner, within a tenant only: a tenant that calls everything urgent delays nobody else.
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    json_column("payload"),
    sa.Column("model", sa.String(64)),
    sa.Column("submitted_by", sa.String(256), nullable=False),
    sa.Column("source", sa.String(256), nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("run_after", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    # How often a worker has taken the job since its last progress; beyond the limit it has killed too many workers and fails.
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # How often in all, for those who look.
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    # The lease of the worker that runs it. Every write of a run checks `lease_token`, so that a worker which was
    # paused and declared dead can change nothing any more.
    sa.Column("worker", sa.String(64)),
    sa.Column("lease_token", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("cancel_requested_at", UtcDateTime),
    sa.Column("cancel_requested_by", sa.String(256)),
    sa.Column("step", sa.String(32)),
    sa.Column("progress", sa.Float, nullable=False, server_default="0"),
    sa.Column("gate_passed", sa.Boolean),
    sa.Column("result", sa.JSON),
    sa.Column("error", sa.JSON),
    sa.Column("retry_of", sa.String(40)),
    sa.CheckConstraint(f"state IN {JOB_STATES}", name="state"),
    sa.CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
    sa.Index("ix_jobs_tenant_id_id", "tenant_id", "id"),
    sa.Index("ix_jobs_tenant_id_model", "tenant_id", "model", "id"),
)
sa.Index(
    "ix_jobs_queued",
    jobs.c.queue,
    jobs.c.tenant_id,
    jobs.c.priority,
    jobs.c.id,
    sqlite_where=jobs.c.state == "queued",
    postgresql_where=jobs.c.state == "queued",
)
sa.Index(
    "ix_jobs_running",
    jobs.c.queue,
    jobs.c.tenant_id,
    jobs.c.lease_until,
    sqlite_where=jobs.c.state == "running",
    postgresql_where=jobs.c.state == "running",
)

job_steps = sa.Table(
    "job_steps",
    metadata,
    sa.Column("job_id", BigInt, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    tenant(),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    # What later steps and a run after a crash go on from.
    sa.Column("output", sa.JSON),
    sa.CheckConstraint("state IN ('running', 'done', 'failed', 'skipped')", name="state"),
)

job_logs = sa.Table(
    "job_logs",
    metadata,
    # Grows within a job: what a reader of the live log resumes from.
    row_id(),
    tenant(),
    sa.Column("job_id", BigInt, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("level", sa.String(8), nullable=False),
    sa.Column("step", sa.String(32), nullable=False, server_default=""),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index(None, "job_id", "id"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(256), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    json_column("queues"),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

approvals = sa.Table(
    "approvals",
    metadata,
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(40), nullable=False, unique=True),
    sa.Column("job_id", BigInt, sa.ForeignKey("jobs.id")),
    sa.Column("model_id", BigInt, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("version_id", BigInt, sa.ForeignKey("versions.id"), nullable=False),
    sa.Column("environment", sa.String(32), nullable=False),
    # What was looked at: a decision about another artefact or another report is refused.
    sa.Column("artifact_digest", sa.String(64), nullable=False),
    sa.Column("report_digest", sa.String(64)),
    sa.Column("expected_sequence", sa.Integer, nullable=False),
    # The rule that asked, frozen: strategy, role, number of approvers.
    json_column("rule"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("requested_by", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("decided_at", UtcDateTime),
    sa.CheckConstraint("state IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn')", name="state"),
    sa.Index("ix_approvals_tenant_id_id", "tenant_id", "id"),
    sa.Index("ix_approvals_tenant_id_state_id", "tenant_id", "state", "id"),
    sa.Index("ix_approvals_model_id_id", "model_id", "id"),
    sa.Index("ix_approvals_job_id", "job_id"),
)
sa.Index(
    "uq_approvals_pending",
    approvals.c.version_id,
    approvals.c.environment,
    unique=True,
    sqlite_where=approvals.c.state == "pending",
    postgresql_where=approvals.c.state == "pending",
)
sa.Index(
    "ix_approvals_expiry",
    approvals.c.expires_at,
    sqlite_where=approvals.c.state == "pending",
    postgresql_where=approvals.c.state == "pending",
)

decisions = sa.Table(
    "decisions",
    metadata,
    row_id(),
    tenant(),
    sa.Column("approval_id", BigInt, sa.ForeignKey("approvals.id"), nullable=False),
    sa.Column("principal", sa.String(256), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.JSON),
    sa.Column("decided_at", UtcDateTime, nullable=False),
    # One voice per person, however many keys they hold.
    sa.UniqueConstraint("approval_id", "principal"),
    sa.CheckConstraint("decision IN ('approve', 'reject')", name="decision"),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(40), nullable=False, unique=True),
    sa.Column("model_id", BigInt, sa.ForeignKey("models.id"), nullable=False),
    sa.Column("version_id", BigInt, sa.ForeignKey("versions.id"), nullable=False),
    sa.Column("environment", sa.String(32), nullable=False),
    sa.Column("strategy", sa.String(16), nullable=False),
    # Share of the traffic that the challenger answers now, 0 for a shadow.
    sa.Column("share", sa.Float, nullable=False),
    json_column("steps"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.String(128)),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("stepped_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("outcome", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("model_id", "idempotency_key"),
    sa.CheckConstraint("strategy IN ('shadow', 'canary')", name="strategy"),
    sa.CheckConstraint("state IN ('active', 'promoted', 'stopped')", name="state"),
    sa.CheckConstraint("share >= 0 AND share <= 1", name="share"),
)
sa.Index(
    "uq_rollouts_active",
    rollouts.c.model_id,
    rollouts.c.environment,
    unique=True,
    sqlite_where=rollouts.c.state == "active",
    postgresql_where=rollouts.c.state == "active",
)

schedules = sa.Table(
    "schedules",
    metadata,
    row_id(),
    tenant(),
    sa.Column("uid", sa.String(40), nullable=False, unique=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("cron", sa.String(128), nullable=False),
    sa.Column("time_zone", sa.String(64), nullable=False),
    json_column("payload"),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime),
    sa.Column("last_job", sa.String(40)),
    sa.UniqueConstraint("tenant_id", "name"),
)
sa.Index(
    "ix_schedules_due",
    schedules.c.next_at,
    sqlite_where=schedules.c.is_active,
    postgresql_where=schedules.c.is_active,
)

datasets = sa.Table(
    "datasets",
    metadata,
    row_id(),
    tenant(),
    # The content's digest names the dataset, so that the same file uploaded twice is one.
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("name", sa.String(256), nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    json_column("columns"),
    sa.Column("created_by", sa.String(256), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("tenant_id", "digest"),
)
