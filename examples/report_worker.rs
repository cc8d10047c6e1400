//! A worker that serves one function, `report`.

use soloist::worker::{Run, Worker};

#[tokio::main]
async fn main() -> Result<(), soloist::client::Error> {
    Worker::builder("http://localhost:4001")
        .function("report", |run: Run| async move {
            run.progress("collecting").await?;
            Ok(format!("the report of {}", run.input().unwrap_or("today")))
        })
        .build()?
        .run(async { drop(tokio::signal::ctrl_c().await) })
        .await
}
