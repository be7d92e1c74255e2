//! Who listens on a TCP port, by /proc. Runtime.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use super::facts::{Holder, PortUse};

/// Who has the port of an address.
pub(super) fn port_use(address: SocketAddr) -> PortUse {
    match TcpListener::bind(address) {
        Ok(_) => PortUse::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => PortUse::Held(holder(address.port())),
        Err(error) => PortUse::Unusable(error.to_string()),
    }
}

fn holder(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let sockets: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| listening(table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Those of other users cannot be looked into.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut links = descriptors.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        if links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder { pid, name: name.trim().to_owned() });
        }
    }
    None
}

/// The inodes of sockets of a table that listen on a port (proc_pid_net(5)).
fn listening(table: &str, port: u16) -> Vec<&str> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| {
            words.get(1).is_some_and(|local| local.ends_with(&suffix))
                && words.get(3) == Some(&LISTEN)
        })
        .filter_map(|words| words.get(9).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                        0: 00000000:19FD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
                        1: 0100007F:19FD 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
                        2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n";
        assert_eq!(listening(table, 6653), ["4711"]);
        assert!(listening(table, 6654).is_empty());
    }

    #[test]
    fn this_process_is_found_as_the_holder_of_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let PortUse::Held(Some(holder)) = port_use(address) else { panic!("it is held") };
        assert_eq!(holder.pid, std::process::id());
    }
}
