//! An engine that is moved by hand, without a thread or a runtime.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use soloist::{
    core::time::Span,
    engine::{Config, Engine, RecoveryError, Stepper},
    entropy::SystemEntropy,
    store::Store,
};

use crate::{
    clock::HandClock,
    stage::{LEASE, TURN_LEASE},
};

pub struct Hand {
    pub engine: Engine,
    pub stepper: Stepper,
    pub clock: Arc<HandClock>,
}

impl Hand {
    /// What takes the store over.
    pub fn over(store: Arc<dyn Store>) -> Result<Hand, RecoveryError> {
        Hand::at(Arc::new(HandClock::new()), store)
    }

    /// The same, at another time.
    pub fn at(clock: Arc<HandClock>, store: Arc<dyn Store>) -> Result<Hand, RecoveryError> {
        let config = Config {
            lease_ttl: LEASE,
            turn_ttl: TURN_LEASE,
            request_memory: Span::from_secs(86_400),
            retention: None,
            watchers_max: 10,
            workers_max: 10,
        };
        let engine = Engine::recover(config, store, clock.clone(), Arc::new(SystemEntropy))?;
        Ok(Hand { stepper: engine.stepper(), engine, clock })
    }

    /// Everything that waits becomes durable and is carried out, and what is due is done.
    pub fn settle(&self) {
        loop {
            match self.stepper.take_commit() {
                Some(commit) => self.stepper.carry_out(self.stepper.flush(commit).expect("a disk that works")),
                None if self.stepper.fire_next() => {}
                None => return,
            }
        }
    }

    /// Polls it to its end, with everything becoming durable in between.
    pub fn finish<F: Future>(&self, future: F) -> F::Output {
        const ROUNDS: usize = 1_000;
        let mut future = pin!(future);
        for _ in 0..ROUNDS {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            self.settle();
        }
        panic!("it does not end");
    }
}
