//! One WatchInstances stream.

use tonic::Status;

use super::{
    Door, convert,
    door::draining,
    idle::{Beat, Idle},
};
use crate::{
    core::{
        ids::TaskHub,
        status::{Told, Transition},
    },
    engine::{
        Description,
        watch::{Glimpse, Panorama},
    },
    proto::v1,
};

pub(super) struct Onlooker {
    door: Door,
    panorama: Panorama,
    idle: Idle,
    ended: bool,
}

impl Onlooker {
    pub(super) fn begin(
        door: Door,
        hub: &TaskHub,
        request: v1::WatchInstancesRequest,
    ) -> Result<Box<Onlooker>, Status> {
        let wanted = convert::wanted(hub, request)?;
        let panorama = door.engine.watch_many(wanted)?;
        let idle = Idle::new(door.drain.clone(), door.watch_heartbeat);
        Ok(Box::new(Onlooker { door, panorama, idle, ended: false }))
    }

    pub(super) async fn next(
        mut self: Box<Self>,
    ) -> Option<(Result<v1::WatchInstancesResponse, Status>, Box<Onlooker>)> {
        if self.ended {
            return None;
        }
        let item = match self.idle.unless(self.panorama.next()).await {
            Beat::Item(glimpse) => glimpse.map(|glimpse| self.encode(glimpse)).map_err(Status::from),
            Beat::Heartbeat => Ok(v1::WatchInstancesResponse { heartbeat: true, ..Default::default() }),
            Beat::Drained => Err(draining()),
        };
        self.ended = item.is_err();
        Some((item, self))
    }

    fn encode(&self, glimpse: Glimpse) -> v1::WatchInstancesResponse {
        let described = |description, sequence| v1::WatchInstancesResponse {
            status: Some(convert::to_wire(description, None)),
            sequence,
            ..Default::default()
        };
        let past = |Transition { sequence, view }: &Transition| {
            described(Description { view: view.clone(), pending_reason: String::new() }, *sequence)
        };
        match glimpse {
            Glimpse::Current(transition) => described(self.door.engine.describe(transition.view), transition.sequence),
            Glimpse::Synced => v1::WatchInstancesResponse { synced: true, ..Default::default() },
            Glimpse::Resync => v1::WatchInstancesResponse { resync: true, ..Default::default() },
            Glimpse::News(news) => match &news.told {
                Told::Transition(transition) => past(transition),
                Told::Purged(last) => v1::WatchInstancesResponse { purged: true, ..past(last) },
                Told::Withdrawn(_) => unreachable!("no stream of many is told of what waits in a queue"),
            },
        }
    }
}
