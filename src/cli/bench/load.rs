//! The loads.

/// What the server, or the disk, is made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// A call that does nothing: what the others are compared with
    Echo,
    /// Starts of fresh ids, durable when they are answered
    Start,
    /// Starts of one id that is taken: each is refused
    Contend,
    /// Reads of the status, round robin over --instances ids
    Status,
    /// Watches of one instance, --in-flight of them; counted is each item that one of them is told
    Watch,
    /// Starts of fresh ids to their completion by a worker inside of this program
    Runs,
    /// Pages of a list, one after the other, each of --page-size instances
    List,
    /// Starts of fresh ids over HTTP/1.1, each place in flight with a connection of its own
    Http,
    /// Durable Task orchestrations of one activity, start to end, by a worker inside of this program
    Activity,
    /// The same with activities in a row, 3 unless --activities says otherwise
    Turns,
    /// The same with activities at once, 100 unless --activities says otherwise
    Fanout,
    /// Durable Task orchestrations that continue as new, --in-flight of them; counted are the generations
    Eternal,
    /// A write of 4 KiB and its flush at a time, in --folder; needs no server
    Disk,
}

/// How a load gets to what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Calls share connections.
    Grpc,
    /// Each call in flight has a connection.
    Http,
    /// No connection, and one at a time.
    Disk,
}

impl Load {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Load::Echo => "echo",
            Load::Start => "start",
            Load::Contend => "contend",
            Load::Status => "status",
            Load::Watch => "watch",
            Load::Runs => "runs",
            Load::List => "list",
            Load::Http => "http",
            Load::Activity => "activity",
            Load::Turns => "turns",
            Load::Fanout => "fanout",
            Load::Eternal => "eternal",
            Load::Disk => "disk",
        }
    }

    pub fn road(self) -> Road {
        match self {
            Load::Echo | Load::Start | Load::Contend | Load::Status | Load::Watch | Load::Runs | Load::List => {
                Road::Grpc
            }
            Load::Activity | Load::Turns | Load::Fanout | Load::Eternal => Road::Grpc,
            Load::Http => Road::Http,
            Load::Disk => Road::Disk,
        }
    }
}
