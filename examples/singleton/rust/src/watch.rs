//! The watch: prints every transition of an instance until it has ended.

use soloist::{
    client::{Client, Error},
    proto::v1::WatchStatusRequest,
};

/// Every transition once and in order: the client follows a stream that breaks by one from where it broke.
pub async fn watch(soloist: Client, instance_id: &str) -> Result<(), Error> {
    let instance_id = instance_id.to_owned();
    let mut items = soloist.watch(WatchStatusRequest { instance_id, until_terminal: true, ..Default::default() });
    while let Some(item) = items.next().await {
        let item = item?;
        if item.resync {
            println!("some transitions are no longer kept; from here on:");
        }
        println!("{} {:?} {}", item.sequence, item.status.runtime_status(), item.status.execution_id);
    }
    Ok(())
}
