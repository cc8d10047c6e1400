//! One instance, and all that watch it: it is suspended and resumed in turn, the next time when the last watcher has been
//! told.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::anyhow;
use tokio::sync::{Notify, Semaphore};

use super::{FUNCTION, refused};
use crate::{
    cli::{
        Error,
        bench::seat::{Seat, Stub},
    },
    client::Client,
    proto::v1::{ResumeInstanceRequest, StartSingletonRequest, SuspendInstanceRequest, WatchStatusRequest},
};

pub struct Watch {
    id: String,
    watchers: usize,
    /// One for each watcher of the round that has its stream.
    opened: Semaphore,
    is_suspended: AtomicBool,
    /// When the transition was asked for that is under way.
    begun: Mutex<Instant>,
    /// How many have been told of it.
    told: AtomicUsize,
    all_told: Notify,
}

impl Watch {
    pub async fn prepare(id: String, watchers: usize, client: &Client) -> Result<Watch, Error> {
        client.start_singleton(StartSingletonRequest::new(FUNCTION, id.as_str())).await?;
        Ok(Watch {
            id,
            watchers,
            opened: Semaphore::new(0),
            is_suspended: AtomicBool::new(false),
            begun: Mutex::new(Instant::now()),
            told: AtomicUsize::new(0),
            all_told: Notify::new(),
        })
    }

    /// The first place makes the transitions too.
    pub async fn keep_busy(&self, seat: Seat) -> Result<(), Error> {
        let transitions = async { if seat.number == 0 { self.transitions(&seat).await } else { Ok(()) } };
        tokio::try_join!(self.follow(&seat), transitions)?;
        Ok(())
    }

    async fn follow(&self, seat: &Seat) -> Result<(), Error> {
        let request = WatchStatusRequest { instance_id: self.id.clone(), ..WatchStatusRequest::default() };
        let mut items = seat.stub().watch_status(seat.request(request)).await.map_err(refused)?.into_inner();
        let mut is_open = false;
        loop {
            let item = tokio::select! {
                item = items.message() => item.map_err(refused)?,
                () = seat.over() => return Ok(()),
            };
            let item = item.ok_or_else(|| Error::Other(anyhow!("a watch has ended before its time")))?;
            if item.resync {
                return Err(Error::Other(anyhow!("a watcher has fallen behind")));
            }
            if item.heartbeat {
                continue;
            }
            if !is_open {
                // The status that was there.
                is_open = true;
                seat.ready();
                self.opened.add_permits(1);
                continue;
            }
            let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            seat.note(begun);
            if self.told.fetch_add(1, Ordering::AcqRel) + 1 == self.watchers {
                seat.note_last(begun);
                self.all_told.notify_one();
            }
        }
    }

    async fn transitions(&self, seat: &Seat) -> Result<(), Error> {
        let mut stub = seat.stub();
        let watchers = u32::try_from(self.watchers).unwrap_or(u32::MAX);
        tokio::select! {
            opened = self.opened.acquire_many(watchers) => opened.map(|permits| permits.forget()).unwrap_or_default(),
            () = seat.over() => return Ok(()),
        }
        while !seat.is_over() {
            self.told.store(0, Ordering::Release);
            *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.change(&mut stub, seat).await?;
            while self.told.load(Ordering::Acquire) < self.watchers {
                tokio::select! {
                    () = self.all_told.notified() => {}
                    () = seat.over() => return Ok(()),
                }
            }
        }
        Ok(())
    }

    async fn change(&self, stub: &mut Stub, seat: &Seat) -> Result<(), Error> {
        let instance_id = self.id.clone();
        if self.is_suspended.fetch_xor(true, Ordering::AcqRel) {
            let resume = ResumeInstanceRequest { instance_id, ..ResumeInstanceRequest::default() };
            stub.resume_instance(seat.request(resume)).await.map_err(refused)?;
        } else {
            let suspend = SuspendInstanceRequest { instance_id, ..SuspendInstanceRequest::default() };
            stub.suspend_instance(seat.request(suspend)).await.map_err(refused)?;
        }
        Ok(())
    }
}
