"""What can be turned, with the default that the fact sheet calls real; probabilities are 0 unless real life has no off.

Units: `_s` seconds of the emulated clock, `_ms` and `_real_s` real time, `_probability` 0 to 1 by the seeded random.
A knob named by checklist item B-n or section K-n of the fact sheet says so.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(slots=True)
class Knobs:
    latency_ms: float = 0.0  # real time added to every request, its slot held
    part_latency_share: float = 0.25  # of latency_ms, for each part of a batch on top of the batch's own

    # Delta (B-8 to B-20)
    page_size_default: int = 10
    page_size_max: int = 1000
    top_on_delta: Literal["cap", "ignore", "reject400"] = "cap"
    generations_live: int = 3
    replay_makes_generation: bool = True  # reading a link again writes sync state again, so it ages its neighbours
    chains_max: int = 2000  # per mailbox; the oldest chain is forgotten ("when the cache is full …")
    foreign_token: Literal["400", "410"] = "410"
    gone_location: bool = False  # 410 with `Location:` of the initial URL
    sparse: Literal["read", "all", "never"] = "read"
    lost_return: bool = True  # A→B→A within a round under immutable ids: only @removed (contrib#72)
    report_unseen_removals: bool = True  # @removed for what came and went within one round
    visibility_delay_s: float = 0.0
    filtered_delta_max: int = 5000
    short_page_probability: float = 0.0
    empty_page_probability: float = 0.0
    trailing_empty_page: bool = False  # the deltaLink comes on a page of its own
    replay_probability: float = 0.0  # per page: one earlier change again
    duplicate_probability: float = 0.0  # per row: the same row twice on the page
    folder_counts_in_delta: bool = False  # a changed item count is a change of the folder
    hidden_in_folder_delta: bool = False

    # Messages (B-22 to B-25)
    skip_stride: int = 1  # `$skip` in links counts this many per item, so that hand-made paging goes wrong
    page_bytes_max: int = 16 * 1024 * 1024  # a page of several items above it is a 504
    ignore_body_preference_probability: float = 0.0
    last_modified_precision_s: float = 1.0  # Exchange keeps seconds
    recoverable_items: bool = True  # DELETE in Deleted Items moves to the hidden dumpster instead of purging

    # Limits (B-28 to B-30, K1)
    concurrency_max: int = 4
    concurrency_scope: Literal["mailbox", "app"] = "mailbox"
    concurrency_retry_after_s: float | None = 1.0
    requests_max: int = 10_000
    requests_window_s: float = 600.0
    burst_403_above: int | None = None  # in flight; above it 403 ErrorAccessDenied instead of 429

    # Subscriptions (B-33 to B-43, K2, K3)
    subscription_minutes_max: int = 10_070
    rich_subscription_minutes_max: int = 1_440
    client_state_in_get: bool = True
    skip_validated_urls: bool = False
    validation_timeout_real_s: float = 10.0
    notification_latency_s: float = 0.2
    notification_jitter_s: float = 0.0  # added at random, so that order changes
    notification_group_max: int = 10
    notification_loss_probability: float = 0.0
    notification_duplicate_probability: float = 0.0
    notification_reorder: bool = False  # shuffle what is sent together
    missed_after_loss: bool = True
    ack_timeout_real_s: float = 3.0
    slow_ack_real_s: float = 3.0
    slow_share: float = 0.10
    drop_share: float = 0.15
    slow_sample_min: int = 10
    slow_window_s: float = 600.0
    slow_delay_s: float = 10.0
    drop_for_s: float = 600.0
    retry_first_s: float = 10.0
    retry_for_s: float = 4 * 3600.0
    lifecycle_payload: Literal["documented", "actual"] = "documented"
    reauthorize_before_s: float = 3600.0  # before expiry; then every reauthorize_every_s
    reauthorize_every_s: float = 900.0

    def turn(self, **values: Any) -> None:
        """Set knobs by name; an unknown name or a value of another kind is a ValueError."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no knob {name!r}; there are {', '.join(sorted(known))}")
            old = known[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number if isinstance(old, int | float) and not isinstance(old, bool) else True
            if isinstance(old, bool | str):
                fits = isinstance(value, type(old))
            if not fits and not (value is None and name in ("concurrency_retry_after_s", "burst_403_above")):
                raise ValueError(f"knob {name} is {old!r} by default and cannot be {value!r}")
        for name, value in values.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
