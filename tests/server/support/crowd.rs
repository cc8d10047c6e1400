//! Many callers that act at the same moment.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::{Client, Server};

/// Callers, spread over some connections.
pub struct Crowd {
    clients: Vec<Client>,
    callers: usize,
}

impl Crowd {
    pub async fn gather(server: &Server, callers: usize, connections: usize) -> Crowd {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(server.client().await);
        }
        Crowd { clients, callers }
    }

    /// Everybody acts at once: what each of them was told, in the order of their numbers.
    pub async fn at_once<T, F>(&self, act: impl Fn(usize, Client) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let barrier = Arc::new(Barrier::new(self.callers));
        let tasks = (0..self.callers).map(|caller| {
            let act = act(caller, self.clients[caller % self.clients.len()].clone());
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                act.await
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut told = Vec::with_capacity(self.callers);
        for task in tasks {
            told.push(task.await.expect("a caller does not panic"));
        }
        told
    }
}
