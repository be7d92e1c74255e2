//! Whether somebody listens where the switches are to connect. Pure, but for reading the tables.

use std::net::SocketAddr;

/// Whether somebody on this machine listens at an address, as far as can be told without connecting:
/// beyond loopback and where the system has no such tables, it is taken that somebody does.
pub(super) fn somebody_listens(at: SocketAddr) -> bool {
    if !at.ip().is_loopback() {
        return true;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let mut tables = tables.iter().flatten().peekable();
    tables.peek().is_none() || tables.any(|table| has_listener(table, at.port()))
}

/// Whether a table of sockets, as proc(5) has it, has one that listens at a port.
fn has_listener(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next(), words.nth(1));
        let local = local.and_then(|local| local.rsplit_once(':'));
        let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        local == Some(port) && state == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_in_the_tables() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:19FD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:1A00 0100007F:19FE 01 00000000:00000000 00:00000000 00000000     0
";
        assert!(has_listener(table, 6653));
        assert!(!has_listener(table, 6656), "a connection, not a listener");
        assert!(!has_listener(table, 6654));
        assert!(!has_listener("", 6653));
    }

    #[test]
    fn a_listener_of_this_process_is_found_until_it_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert!(somebody_listens(at));
        drop(listener);
        assert!(!somebody_listens(at));
        assert!(somebody_listens(([192, 0, 2, 1], 6653).into()));
    }
}
