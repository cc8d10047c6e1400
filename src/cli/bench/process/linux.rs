//! `/proc`, read.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// What `/proc/net/tcp` says of a socket that listens.
const LISTENS: &str = "0A";

pub fn cpu(process: u32) -> Option<Duration> {
    let ticks = cpu_ticks(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?;
    let a_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_nanos(ticks * 1_000_000_000 / a_second))
}

/// User and system time. The name in brackets may have spaces and brackets itself.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

pub fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let row = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = row.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

pub fn listening_on(address: SocketAddr) -> Option<u32> {
    // Only addresses of this machine can be bound.
    UdpSocket::bind((address.ip(), 0)).ok()?;
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let inode = sockets.iter().flat_map(|table| table.lines()).find_map(|row| inode(row, address))?;
    holder(&format!("socket:[{inode}]"))
}

/// The inode of the socket in this row, if it listens at the address.
fn inode(row: &str, address: SocketAddr) -> Option<&str> {
    let mut fields = row.split_whitespace().skip(1);
    let local = bound(fields.next()?)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let is_it = local.port() == address.port() && (local.ip() == address.ip() || local.ip().is_unspecified());
    (state == LISTENS && is_it).then_some(inode)
}

/// `0100007F:0FA1`: words as they lie in memory, and the port as a number.
fn bound(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|word| u32::from_str_radix(&ip[word * 8..word * 8 + 8], 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::from(Ipv4Addr::from(*word)),
        words => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).to_canonical()
        }
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The process that has this open, among those that may be looked at.
fn holder(link: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ticks_are_found_whatever_the_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 31 11 0 0 20 0 5 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn this_process_is_found_by_where_it_listens() {
        for any in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(any).expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            let found = listening_on(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            assert_eq!(found, Some(std::process::id()), "{any}");
        }
        assert!(resident_bytes(std::process::id()).expect("a size") > 1 << 16);
        assert!(cpu(std::process::id()).is_some());
    }

    #[test]
    fn addresses_are_read_in_both_widths() {
        // As a machine with little-endian words writes them.
        if cfg!(target_endian = "little") {
            assert_eq!(bound("0100007F:0FA1"), Some("127.0.0.1:4001".parse().expect("an address")));
            let six = bound("00000000000000000000000001000000:0FA1");
            assert_eq!(six, Some("[::1]:4001".parse().expect("an address")));
        }
    }
}
