//! The sample functions of `soloist dev`, served by the worker library through the server's own port.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time;

use crate::{
    client,
    worker::{Failure, Outcome, Run, Worker},
};

/// What the status of their runs shows as the worker.
const WORKER_NAME: &str = "samples";
const SLEEP_SECONDS_MAX: u64 = 24 * 3600;

/// A worker that serves the sample functions to the server at `address`.
pub fn worker(address: String) -> Result<Worker, client::Error> {
    Worker::builder(address)
        .name(WORKER_NAME)
        // Who ends the server does not want to wait for a sample.
        .shutdown_grace(Duration::ZERO)
        .function("hello", |run| async move { hello(&run) })
        .function("sleep", |run| async move { sleep(&run).await })
        .function("counter", |run| async move { counter(&run).await })
        .build()
}

/// Greets the name that it is given.
fn hello(run: &Run) -> Result<String, Failure> {
    let name: Option<String> = json(run.input(), "a JSON string, such as \"Ada\"")?;
    Ok(greeting(name.as_deref()))
}

/// Sleeps for the seconds that it is given, and says each second how far it is. While it is suspended no time passes.
async fn sleep(run: &Run) -> Result<String, Failure> {
    let allowed = format!("a number of seconds up to {SLEEP_SECONDS_MAX}");
    let seconds = json(run.input(), &allowed)?.unwrap_or(10);
    if seconds > SLEEP_SECONDS_MAX {
        return Err(bad_input(&allowed));
    }
    for passed in 1..=seconds {
        run.resumed().await?;
        time::sleep(Duration::from_secs(1)).await;
        run.progress(format!(r#""{passed} of {seconds} s""#)).await?;
    }
    run.resumed().await?;
    Ok(format!(r#""slept {seconds} s""#))
}

/// Adds up the numbers of the events `add`, until the event `stop`. Each sum is the input of the next execution, so
/// that it is never lost and the function never runs for long.
async fn counter(run: &Run) -> Result<Outcome, Failure> {
    let sum: i64 = json(run.input(), "a whole number")?.unwrap_or_default();
    run.progress(sum.to_string()).await?;
    loop {
        let event = run.next_event().await?;
        run.resumed().await?;
        match event.name.as_str() {
            "stop" => return Ok(Outcome::Completed(Some(sum.to_string()))),
            "add" => {
                // A number that is none is no reason to lose the sum.
                let number = json(event.input.as_deref(), "a whole number").ok().flatten().unwrap_or(1);
                return Ok(Outcome::ContinueAsNew(Some(sum.saturating_add(number).to_string())));
            }
            _ => {}
        }
    }
}

fn greeting(name: Option<&str>) -> String {
    serde_json::Value::String(format!("Hello, {}!", name.unwrap_or("world"))).to_string()
}

fn json<T: DeserializeOwned>(input: Option<&str>, allowed: &str) -> Result<Option<T>, Failure> {
    input.map(serde_json::from_str).transpose().map_err(|_| bad_input(allowed))
}

fn bad_input(allowed: &str) -> Failure {
    Failure::new("BadInput", format!("the input must be {allowed}")).non_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_json() {
        assert_eq!(greeting(Some("Ada \"Countess\"")), r#""Hello, Ada \"Countess\"!""#);
        assert_eq!(greeting(None), r#""Hello, world!""#);
    }

    #[test]
    fn an_input_of_another_kind_fails_for_good() {
        assert_eq!(json::<u64>(Some("7"), "a number"), Ok(Some(7)));
        assert_eq!(json::<u64>(None, "a number"), Ok(None));
        for input in ["-1", "\"7\"", "", "seven"] {
            assert_eq!(json::<u64>(Some(input), "a number"), Err(bad_input("a number")), "{input}");
        }
    }

    #[test]
    fn the_samples_make_a_worker() {
        assert!(worker("http://127.0.0.1:4001".into()).is_ok());
    }
}
