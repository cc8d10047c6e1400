//! Requests, built in a line.

use crate::proto::v1::{ConflictPolicy, StartSingletonRequest};

impl StartSingletonRequest {
    /// A start of `function_name` under `instance_id`, everything else as by default.
    pub fn new(function_name: impl Into<String>, instance_id: impl Into<String>) -> StartSingletonRequest {
        StartSingletonRequest {
            function_name: function_name.into(),
            instance_id: instance_id.into(),
            ..StartSingletonRequest::default()
        }
    }

    /// Gives the function its input.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<String>) -> StartSingletonRequest {
        self.input = Some(input.into());
        self
    }

    /// Makes retries safe: the start is done once, however often it is sent.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> StartSingletonRequest {
        self.request_id = request_id.into();
        self
    }

    /// Says what to do if the id has a live execution.
    #[must_use]
    pub fn with_conflict_policy(mut self, policy: ConflictPolicy) -> StartSingletonRequest {
        self.set_conflict_policy(policy);
        self
    }
}
