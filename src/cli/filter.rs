//! Which instances are meant: the filter of lists and purges.

use std::time::SystemTime;

use clap::ValueEnum;

use super::{Error, moment::Moment, tag::Tag};
use crate::proto::v1::{InstanceFilter, RuntimeStatus};

/// Flags that must all hold; without any, all instances of the task hub are meant.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Only with one of these statuses
    #[arg(long = "status", value_name = "STATUSES", value_enum, value_delimiter = ',')]
    statuses: Vec<StatusName>,
    /// Only of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Only with an id that begins with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only created at this time or later: RFC 3339, or a duration for so long ago
    #[arg(long, value_name = "TIME")]
    created_from: Option<Moment>,
    /// Only created before this time: RFC 3339, or a duration for so long ago
    #[arg(long, value_name = "TIME")]
    created_before: Option<Moment>,
    /// Only with this tag; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StatusName {
    Pending,
    Running,
    Suspended,
    Completed,
    Failed,
    Terminated,
}

// === impl Filter ===

impl Filter {
    pub fn is_empty(&self) -> bool {
        let Filter { statuses, function, prefix, created_from, created_before, tags } = self;
        statuses.is_empty()
            && function.is_none()
            && prefix.is_none()
            && created_from.is_none()
            && created_before.is_none()
            && tags.is_empty()
    }

    pub fn wire(self, now: SystemTime) -> Result<InstanceFilter, Error> {
        Ok(InstanceFilter {
            statuses: self.statuses.into_iter().map(|status| status.wire().into()).collect(),
            function_name: self.function.unwrap_or_default(),
            instance_id_prefix: self.prefix.unwrap_or_default(),
            created_from: self.created_from.map(|moment| moment.ago(now)).transpose()?,
            created_before: self.created_before.map(|moment| moment.ago(now)).transpose()?,
            tags: self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        })
    }
}

// === impl StatusName ===

impl StatusName {
    fn wire(self) -> RuntimeStatus {
        match self {
            StatusName::Pending => RuntimeStatus::Pending,
            StatusName::Running => RuntimeStatus::Running,
            StatusName::Suspended => RuntimeStatus::Suspended,
            StatusName::Completed => RuntimeStatus::Completed,
            StatusName::Failed => RuntimeStatus::Failed,
            StatusName::Terminated => RuntimeStatus::Terminated,
        }
    }
}
