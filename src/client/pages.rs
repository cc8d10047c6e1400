//! Lists of instances and purges by filter, page after page.

use std::vec;

use super::{Client, Error, retry};
use crate::proto::v1::{
    InstanceStatus, ListInstancesRequest, ListInstancesResponse, PurgeInstancesRequest, PurgeInstancesResponse,
};

/// All instances that a request lists, read page by page as they are asked for.
#[derive(Debug)]
pub struct Instances {
    client: Client,
    request: ListInstancesRequest,
    page: vec::IntoIter<InstanceStatus>,
    is_over: bool,
}

/// A purge by filter, carried on page by page as it is asked to.
#[derive(Debug)]
pub struct Purge {
    client: Client,
    request: PurgeInstancesRequest,
    is_over: bool,
}

impl Client {
    /// One page of a list.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a filter or a page token that is none.
    pub async fn list_instances(&self, request: ListInstancesRequest) -> Result<ListInstancesResponse, Error> {
        let request = self.request(request);
        self.in_time(async { Ok(self.stub.clone().list_instances(request).await?.into_inner()) }).await
    }

    /// All pages of a list, from the request's on. A page is asked for again, a few times, while the server is away.
    pub fn list_all(&self, request: ListInstancesRequest) -> Instances {
        Instances { client: self.clone(), request, page: Vec::new().into_iter(), is_over: false }
    }

    /// Deletes one page of instances that have ended.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a filter or a page token that is none.
    pub async fn purge_instances(&self, request: PurgeInstancesRequest) -> Result<PurgeInstancesResponse, Error> {
        let request = self.request(request);
        self.in_time(async { Ok(self.stub.clone().purge_instances(request).await?.into_inner()) }).await
    }

    /// Deletes all pages of instances that have ended, from the request's on. Nothing is deleted before the first page
    /// is asked for.
    pub fn purge_all(&self, request: PurgeInstancesRequest) -> Purge {
        Purge { client: self.clone(), request, is_over: false }
    }
}

// === impl Instances ===

impl Instances {
    /// The next instance; `None` after the last one, or after an error.
    ///
    /// # Errors
    /// As [`Client::list_instances`].
    pub async fn next(&mut self) -> Option<Result<InstanceStatus, Error>> {
        loop {
            if let Some(instance) = self.page.next() {
                return Some(Ok(instance));
            }
            match self.read().await? {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next instances, as many as came together: at least one; `None` after the last ones, or after an error.
    ///
    /// # Errors
    /// As [`Client::list_instances`].
    pub async fn next_page(&mut self) -> Option<Result<Vec<InstanceStatus>, Error>> {
        let rest: Vec<_> = self.page.by_ref().collect();
        if !rest.is_empty() {
            return Some(Ok(rest));
        }
        loop {
            match self.read().await? {
                Ok(page) if page.is_empty() => {}
                page => return Some(page),
            }
        }
    }

    async fn read(&mut self) -> Option<Result<Vec<InstanceStatus>, Error>> {
        if self.is_over {
            return None;
        }
        let call = || self.client.list_instances(self.request.clone());
        let answer = self.client.in_time(retry::retry(Error::is_transient, call)).await;
        self.is_over = answer.as_ref().is_ok_and(|answer| answer.next_page_token.is_empty()) || answer.is_err();
        Some(answer.map(|answer| {
            self.request.page_token = answer.next_page_token;
            answer.instances
        }))
    }
}

// === impl Purge ===

impl Purge {
    /// Deletes the next page and answers how many it had; `None` after the last one, or after an error.
    ///
    /// # Errors
    /// As [`Client::purge_instances`]. A page is asked for again only where the server said that nothing was applied:
    /// else the numbers would not be right.
    pub async fn next(&mut self) -> Option<Result<u32, Error>> {
        if self.is_over {
            return None;
        }
        let call = || self.client.purge_instances(self.request.clone());
        let answer = self.client.in_time(retry::retry(|error| retry::start_is_safe(error, false), call)).await;
        self.is_over = answer.as_ref().is_ok_and(|answer| answer.next_page_token.is_empty()) || answer.is_err();
        Some(answer.map(|answer| {
            self.request.page_token = answer.next_page_token;
            answer.purged
        }))
    }
}
