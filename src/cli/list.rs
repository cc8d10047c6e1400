//! `soloist list`: the instances of a task hub, in the order in which their ids were first started.

use std::time::SystemTime;

use super::{ClientArgs, Error, Exit, Output, filter::Filter, output};
use crate::{client::Instances, clock, proto::v1::ListInstancesRequest};

/// Instances that are asked for at a time: the most that the server gives.
const PAGE_SIZE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// End after so many [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

pub async fn run(args: Args, client: &ClientArgs, output: &Output) -> Result<Exit, Error> {
    let limit = args.limit;
    let request = args.request(clock::wall_time())?;
    let mut instances = client.connect().await?.list_all(request);
    print(&mut instances, limit, output).await?;
    Ok(Exit::Done)
}

async fn print(instances: &mut Instances, limit: Option<u32>, output: &Output) -> Result<(), Error> {
    let mut list = output.list();
    let mut left = limit.map_or(usize::MAX, |limit| limit as usize);
    while let Some(page) = instances.next_page().await {
        let page = page?;
        list.print(&page[..page.len().min(left)])?;
        if page.len() > left {
            output::notice("There are more: raise --limit.");
            return Ok(());
        }
        left -= page.len();
    }
    if list.is_empty() {
        output::notice("There are none.");
    }
    Ok(())
}

impl Args {
    pub(super) fn request(self, now: SystemTime) -> Result<ListInstancesRequest, Error> {
        // One more than wanted tells whether there are more.
        let page_size = self.limit.map_or(PAGE_SIZE, |limit| limit.saturating_add(1).min(PAGE_SIZE));
        Ok(ListInstancesRequest { filter: Some(self.filter.wire(now)?), page_size, page_token: String::new() })
    }
}
