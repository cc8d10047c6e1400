//! Every limit that a caller can meet, one constant each.

use super::time::Span;

/// Bytes of an instance id.
pub const INSTANCE_ID_BYTES_MAX: usize = 256;
/// Characters that no instance id contains.
pub const INSTANCE_ID_FORBIDDEN: [char; 4] = ['/', '\\', '#', '?'];
/// Bytes of the name of a function, an event or a worker.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of the name of a task hub.
pub const TASK_HUB_BYTES_MAX: usize = 64;
/// Bytes of a request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of a version.
pub const VERSION_BYTES_MAX: usize = 64;
/// Tags of one execution, and the bytes of a tag's key and value.
pub const TAGS_MAX: usize = 32;
pub const TAG_KEY_BYTES_MAX: usize = 64;
pub const TAG_VALUE_BYTES_MAX: usize = 256;
/// Bytes of one payload (input, output, event, custom status): the default, and the most that can be configured.
pub const PAYLOAD_BYTES_DEFAULT: usize = 1 << 20;
pub const PAYLOAD_BYTES_CEILING: usize = 3 << 20;
/// Bytes of a failure's parts.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 16 << 10;
pub const FAILURE_DETAILS_BYTES_MAX: usize = 64 << 10;
/// Bytes of a termination's reason.
pub const REASON_BYTES_MAX: usize = 4 << 10;
/// Attempts of one execution.
pub const ATTEMPTS_MAX: u32 = 1_000_000;
/// What a backoff may be multiplied by.
pub const BACKOFF_MULTIPLIER_MAX: f64 = 100.0;
/// Bounds of every deadline, timeout and backoff that a caller gives.
pub const DURATION_MIN: Span = Span::from_micros(1_000);
pub const DURATION_MAX: Span = Span::from_secs(365 * 24 * 3600);
/// Remembered request ids per instance id; beyond them the oldest is forgotten.
pub const REMEMBERED_REQUESTS_MAX: usize = 1_000;
/// External events of one instance that no worker has acknowledged.
pub const INBOX_EVENTS_MAX: u64 = 1_000;
/// Bytes of an event's input that the history keeps; a larger one is left out of it.
pub const HISTORY_INPUT_BYTES_MAX: usize = 4 << 10;
/// Starts that may wait behind a live execution: unless the start says otherwise, and the most that it can say.
pub const QUEUE_DEFAULT: u32 = 16;
pub const QUEUE_CEILING: u32 = 1_000;
/// Events of an execution's history that are kept, its beginning and end not counted.
pub const HISTORY_KEPT: u64 = 1_000;
/// Outputs of an instance's former executions that are kept, for callers that come to read theirs when the next one
/// has begun.
pub const FORMER_OUTPUTS_KEPT: usize = 8;
/// Transitions that are kept for watchers that resume.
pub const TRANSITIONS_KEPT: u64 = 64;
/// Instances of one page of a list, and of one step of a purge.
pub const PAGE_MAX: usize = 1_000;
/// Instance ids that one stream watches by name.
pub const WATCHED_IDS_MAX: usize = 1_000;
/// Functions of one worker, and runs that it takes at a time.
pub const WORKER_FUNCTIONS_MAX: usize = 1_000;
pub const WORKER_RUNS_MAX: u32 = 10_000;
/// How long a run rests after a worker declined it.
pub const DECLINED_BACKOFF: Span = Span::from_secs(1);
/// Durable timers of one instance that fire in one step; those that are due beyond them fire in the next.
pub const TIMERS_AT_ONCE: usize = 100;
