//! What is done to an instance after its start: events, suspension, termination, restart, deletion.

use super::{Client, Error, retry};
use crate::proto::v1::{
    InstanceStatus, PurgeInstanceRequest, RaiseEventRequest, RaiseEventResponse, RestartInstanceRequest,
    RestartInstanceResponse, ResumeInstanceRequest, SuspendInstanceRequest, TerminateInstanceRequest,
};

impl Client {
    /// Delivers an external event to the live execution; it is durable when this returns.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended. It is not tried again by itself: the event could arrive twice.
    pub async fn raise_event(&self, request: RaiseEventRequest) -> Result<RaiseEventResponse, Error> {
        let request = self.request(request);
        self.in_time(async { Ok(self.stub.clone().raise_event(request).await?.into_inner()) }).await
    }

    /// Ends the live execution at once, or withdraws the queued one that the request names, and answers the status after
    /// the end.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended.
    pub async fn terminate_instance(&self, request: TerminateInstanceRequest) -> Result<InstanceStatus, Error> {
        let request = self.request(request);
        let call = async { Ok(self.stub.clone().terminate_instance(request).await?.into_inner()) };
        let response = self.in_time(call).await?;
        response.status.map(|status| *status).ok_or_else(|| Error::incomplete("TerminateInstanceResponse.status"))
    }

    /// Suspends the live execution: no events and no new attempt until it is resumed. Answers the status after that.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended.
    pub async fn suspend_instance(&self, request: SuspendInstanceRequest) -> Result<InstanceStatus, Error> {
        let request = self.request(request);
        let call = async { Ok(self.stub.clone().suspend_instance(request).await?.into_inner()) };
        let response = self.in_time(call).await?;
        response.status.map(|status| *status).ok_or_else(|| Error::incomplete("SuspendInstanceResponse.status"))
    }

    /// Resumes a suspended execution. Answers the status after that.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance has ended.
    pub async fn resume_instance(&self, request: ResumeInstanceRequest) -> Result<InstanceStatus, Error> {
        let request = self.request(request);
        let call = async { Ok(self.stub.clone().resume_instance(request).await?.into_inner()) };
        let response = self.in_time(call).await?;
        response.status.map(|status| *status).ok_or_else(|| Error::incomplete("ResumeInstanceResponse.status"))
    }

    /// Starts an instance that has ended anew, with the same function, input and options. It is tried again as
    /// [`Client::start_singleton`] is.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` if the instance is live, `NOT_FOUND` if there is none.
    pub async fn restart_instance(&self, request: RestartInstanceRequest) -> Result<RestartInstanceResponse, Error> {
        let has_request_id = !request.request_id.is_empty();
        let call = || async {
            let sent = self.request(request.clone());
            Ok(self.stub.clone().restart_instance(sent).await?.into_inner())
        };
        self.in_time(retry::retry(|error| retry::start_is_safe(error, has_request_id), call)).await
    }

    /// Deletes an instance that has ended.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` if the instance is live, `NOT_FOUND` if there is none. It is not tried again by itself: a
    /// successor could be hit.
    pub async fn purge_instance(&self, request: PurgeInstanceRequest) -> Result<(), Error> {
        let request = self.request(request);
        self.in_time(async { Ok(self.stub.clone().purge_instance(request).await?) }).await?;
        Ok(())
    }
}
