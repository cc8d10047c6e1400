//! Each operation in words: what it takes, and each code with which it answers.

use super::{
    Answer,
    Kind::{Flag, Moment, Number, OneOf, SomeOf, Text},
    Operation, Parameter,
    Place::{Header, NeededInQuery, Query},
};

pub const START: Operation = Operation {
    summary: "Starts the singleton, if its id has no live execution.",
    parameters: &[&[CONFLICT_POLICY, REQUEST_ID, IDEMPOTENCY_KEY], HUB],
    body: INPUT,
    answers: &[ACCEPTED, INVALID, FOREIGN, TAKEN, TOO_LARGE, NO_JSON, TOO_MANY],
};

pub const START_ANY: Operation = Operation {
    summary: "Starts it under an instance id that the server makes up.",
    parameters: &[&[CONFLICT_POLICY], HUB],
    body: INPUT,
    answers: &[ACCEPTED, INVALID, FOREIGN, TOO_LARGE, NO_JSON],
};

pub const LIST: Operation = Operation {
    summary: "Lists instances, page by page.",
    parameters: &[&[SINCE, TOP, CONTINUATION], FILTER, HUB],
    body: None,
    answers: &[
        Answer {
            headers: &[CONTINUATION.name],
            content: &[(JSON, Some("Statuses"))],
            ..of(200, "A page; with the header there may be more.")
        },
        INVALID,
    ],
};

pub const PURGE_MANY: Operation = Operation {
    summary: "Purges all instances that have ended and meet the filter.",
    parameters: &[&[Parameter { place: NeededInQuery, ..SINCE }], FILTER, HUB],
    body: None,
    answers: &[PURGED, INVALID, FOREIGN, NOT_FOUND],
};

pub const STATUS: Operation = Operation {
    summary: "Reads the status.",
    parameters: &[
        &[
            EXECUTION,
            query("showInput", Flag, "Whether the input is shown; true unless given."),
            query("showHistory", Flag, "Adds the events of the latest execution."),
            query("showHistoryOutput", Flag, "Adds inputs and results to them."),
            query("returnInternalServerErrorOnFailure", Flag, "Answers 500 for a failed instance."),
        ],
        HUB,
    ],
    body: None,
    answers: &[
        Answer { content: STATUS_JSON, ..of(200, "It has ended.") },
        Answer { headers: &["Location", "Retry-After"], content: STATUS_JSON, ..of(202, "It is live.") },
        INVALID,
        NOT_FOUND,
        Answer { content: &[(JSON, Some("Status")), PROBLEM[0]], ..of(500, "It has failed, and this was asked for.") },
    ],
};

pub const PURGE: Operation = Operation {
    summary: "Purges an instance that has ended.",
    parameters: &[&[EXECUTION], HUB],
    body: None,
    answers: &[PURGED, INVALID, FOREIGN, NOT_FOUND, UNSUITABLE],
};

pub const RAISE_EVENT: Operation = Operation {
    summary: "Raises an event.",
    parameters: &[&[EXECUTION], HUB],
    body: Some("The event's payload."),
    answers: &[DONE, INVALID, FOREIGN, NOT_FOUND, UNSUITABLE, ENDED, TOO_LARGE, NO_JSON, TOO_MANY],
};

pub const TERMINATE: Operation = Operation {
    summary: "Ends the live execution, or withdraws a queued one.",
    parameters: &[&[REASON, EXECUTION], HUB],
    body: None,
    answers: &[DONE, INVALID, FOREIGN, NOT_FOUND, ENDED],
};

pub const SUSPEND: Operation = Operation {
    summary: "Suspends the live execution.",
    parameters: &[&[REASON, EXECUTION], HUB],
    body: None,
    answers: &[DONE, INVALID, FOREIGN, NOT_FOUND, UNSUITABLE, ENDED],
};

pub const RESUME: Operation = Operation { summary: "Resumes a suspended execution.", ..SUSPEND };

pub const RESTART: Operation = Operation {
    summary: "Starts an instance that has ended anew, under the same id.",
    parameters: &[
        &[
            query("restartWithNewInstanceId", OneOf(&["false"]), "A singleton has one id."),
            EXECUTION,
            REQUEST_ID,
            IDEMPOTENCY_KEY,
        ],
        HUB,
    ],
    body: None,
    answers: &[ACCEPTED, INVALID, FOREIGN, NOT_FOUND, TAKEN],
};

pub const WATCH: Operation = Operation {
    summary: "Watches an instance live: the current status, then every transition.",
    parameters: &[
        &[
            EXECUTION,
            query("untilTerminal", Flag, "Ends after a terminal status."),
            query("waitForStart", Flag, "Waits for an instance that was never started, instead of 404."),
            query("includePayloads", Flag, "Adds payloads to the current status."),
            query("fromRevision", Number(0, None), "The revision after which to go on."),
            header("Last-Event-ID", "The same, as browsers say it; it wins."),
        ],
        HUB,
    ],
    body: None,
    answers: &[
        Answer {
            content: &[("text/event-stream", Some("Event"))],
            ..of(200, "Events `status`, `resync` and `purged`, each with this as its data and its revision as its id.")
        },
        of(204, "What was to be watched has ended: nothing is to come."),
        INVALID,
        NOT_FOUND,
        TOO_MANY,
    ],
};

pub const METRICS: Operation = plain("What Prometheus reads.", &[Answer { content: TEXT, ..of(200, "Samples.") }]);

pub const LIVE: Operation = plain("Whether the process lives.", &[WELL]);

pub const READY: Operation = plain(
    "Whether calls are taken.",
    &[WELL, Answer { headers: &["Retry-After"], content: PROBLEM, ..of(503, "The server drains.") }],
);

pub const OPENAPI: Operation =
    plain("This description.", &[Answer { content: &[(JSON, Some("Description"))], ..of(200, "OpenAPI 3.1.") }]);

pub const ELSE: Answer = Answer { headers: &["Retry-After"], content: PROBLEM, ..of(0, "Any other error.") };

const JSON: &str = "application/json";
const TEXT: &[(&str, Option<&str>)] = &[("text/plain", None)];
const PROBLEM: &[(&str, Option<&str>)] = &[("application/problem+json", Some("Problem"))];
const STATUS_JSON: &[(&str, Option<&str>)] = &[(JSON, Some("Status"))];

const INPUT: Option<&str> = Some("The function's input.");

const STATUSES: &[&str] =
    &["Pending", "Running", "Suspended", "Completed", "Failed", "Terminated", "Canceled", "ContinuedAsNew"];
const POLICIES: &[&str] = &["FAIL", "USE_EXISTING", "REPLACE", "QUEUE", "COALESCE"];

const HUB: &[Parameter] =
    &[query("taskHub", Text, "The namespace of instance ids; `default` unless given."), header("taskhub", "The same.")];
const CONFLICT_POLICY: Parameter =
    query("conflictPolicy", OneOf(POLICIES), "What to do if the id has a live execution; FAIL unless given.");
const REQUEST_ID: Parameter = query("requestId", Text, "Makes a retry safe.");
const IDEMPOTENCY_KEY: Parameter = header("Idempotency-Key", "The same as requestId.");
const EXECUTION: Parameter = query("executionId", Text, "The execution that is meant, if not simply the latest.");
const REASON: Parameter = query("reason", Text, "Why.");
const SINCE: Parameter = query("createdTimeFrom", Moment, "Created then or later.");
const FILTER: &[Parameter] = &[
    query("createdTimeTo", Moment, "Created then or before."),
    query("runtimeStatus", SomeOf(STATUSES), "One of these."),
    query("instanceIdPrefix", Text, "Ids that begin so."),
];
const TOP: Parameter = query("top", Number(1, Some(1_000)), "At most so many in the answer; 100 unless given.");
const CONTINUATION: Parameter = header("x-ms-continuation-token", "Where the list goes on, as the answer before said.");

const ACCEPTED: Answer = Answer {
    headers: &["Location", "Retry-After"],
    content: &[(JSON, Some("CheckStatus"))],
    ..of(202, "Accepted, with the URLs of the instance.")
};
const DONE: Answer = of(202, "Done.");
const PURGED: Answer = Answer { content: &[(JSON, Some("Purged"))], ..of(200, "How many were deleted.") };
const INVALID: Answer = problem(400, "The request has no meaning as it is.");
const FOREIGN: Answer = problem(403, "A page of another site asked, which the server does not allow.");
const NOT_FOUND: Answer = problem(404, "There is none.");
const TAKEN: Answer = Answer {
    content: &[("text/plain", None), PROBLEM[0]],
    ..of(409, "The id has a live execution: `An instance with ID '…' already exists.` Or another reason, as a problem.")
};
const UNSUITABLE: Answer = problem(409, "It is live where it should have ended, or another execution was meant.");
const ENDED: Answer = problem(410, "It has ended.");
const TOO_LARGE: Answer = problem(413, "The body is larger than the server takes.");
const NO_JSON: Answer = problem(415, "The body is said to be something else than JSON.");
const TOO_MANY: Answer =
    Answer { headers: &["Retry-After"], ..problem(429, "A bound of the server or of the instance is reached.") };
const WELL: Answer = Answer { content: TEXT, ..of(200, "Yes.") };

const fn query(name: &'static str, kind: super::Kind, description: &'static str) -> Parameter {
    Parameter { name, place: Query, kind, description }
}

const fn header(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, place: Header, kind: Text, description }
}

const fn plain(summary: &'static str, answers: &'static [Answer]) -> Operation {
    Operation { summary, parameters: &[], body: None, answers }
}

const fn of(code: u16, description: &'static str) -> Answer {
    Answer { code, description, headers: &[], content: &[] }
}

const fn problem(code: u16, description: &'static str) -> Answer {
    Answer { content: PROBLEM, ..of(code, description) }
}
