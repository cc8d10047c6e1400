//! Requests, built in a line.

use std::time::SystemTime;

use crate::proto::v1::{
    ConflictPolicy, InstanceIds, SignalOnConflict, StartSingletonRequest, WatchInstancesRequest,
    watch_instances_request::Selector,
};

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

    /// Says how many starts may wait in the queue, this one included.
    #[must_use]
    pub fn with_max_queue(mut self, starts: u32) -> StartSingletonRequest {
        self.max_queue = starts;
        self
    }

    /// Is not handed out before this time.
    #[must_use]
    pub fn with_start_at(mut self, time: SystemTime) -> StartSingletonRequest {
        self.start_at = Some(time.into());
        self
    }

    /// Starts or signals: a live execution is joined and gets this event in the same step.
    #[must_use]
    pub fn with_signal(mut self, name: impl Into<String>, input: Option<String>) -> StartSingletonRequest {
        self.set_conflict_policy(ConflictPolicy::UseExisting);
        self.signal_on_conflict = Some(SignalOnConflict { name: name.into(), input });
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> StartSingletonRequest {
        self.tags.insert(key.into(), value.into());
        self
    }
}

impl WatchInstancesRequest {
    /// A watch of these instances.
    pub fn of_ids(ids: impl IntoIterator<Item = impl Into<String>>) -> WatchInstancesRequest {
        let ids = ids.into_iter().map(Into::into).collect();
        WatchInstancesRequest { selector: Some(Selector::InstanceIds(InstanceIds { ids })) }
    }

    /// A watch of the instances whose id begins with this; of all if it is empty.
    pub fn of_prefix(prefix: impl Into<String>) -> WatchInstancesRequest {
        WatchInstancesRequest { selector: Some(Selector::InstanceIdPrefix(prefix.into())) }
    }

    /// A watch of the instances of this function.
    pub fn of_function(name: impl Into<String>) -> WatchInstancesRequest {
        WatchInstancesRequest { selector: Some(Selector::FunctionName(name.into())) }
    }
}
